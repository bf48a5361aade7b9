import warnings

import numpy as np
import pytest
import torch
from PIL import Image

from deft.data.ct import Slices
from deft.data.images import ImageFolder, open_images, write_png
from deft.errors import BadImage, InvalidInput
from tests.data.slices import stack, write_dicom

RGB, GREY = (3, 6, 8), (1, 6, 8)


def pixels(shape=(6, 8, 3), seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def write(folder, name, array=None, mode=None, **options):
    folder.mkdir(exist_ok=True, parents=True)
    image = Image.fromarray(pixels() if array is None else array)
    (image.convert(mode) if mode else image).save(folder / name, **options)
    return folder


class TestReading:
    def test_values_and_order(self, tmp_path):
        for i, name in enumerate(["c.png", "a.bmp", "b.tif"]):
            write(tmp_path, name, pixels(seed=i))
        write(tmp_path / "inner", "d.PNG", pixels(seed=3))
        write(tmp_path, ".hidden.png")
        data = ImageFolder(tmp_path, RGB)
        assert [p.name for p in data.files] == ["a.bmp", "b.tif", "c.png", "d.PNG"]
        expected = torch.from_numpy(pixels(seed=1)).permute(2, 0, 1).float() / 127.5 - 1
        torch.testing.assert_close(data[0], expected)
        assert ImageFolder(tmp_path, RGB, (0.0, 1.0))[0].min() >= 0

    @pytest.mark.parametrize(
        "name", ["a.jpg", "a.jpeg", "a.webp", "a.png", "a.bmp", "a.tif", "a.tiff"]
    )
    def test_formats(self, tmp_path, name):
        data = ImageFolder(write(tmp_path, name), RGB)
        assert data[0].shape == RGB
        assert data[0].dtype == torch.float32
        assert -1 <= data[0].min() < data[0].max() <= 1

    def test_16_bits(self, tmp_path):
        deep = np.random.default_rng(0).integers(0, 65536, (6, 8)).astype(np.uint16)
        data = ImageFolder(write(tmp_path, "a.png", deep), GREY, (0.0, 1.0))
        torch.testing.assert_close(data[0][0], torch.from_numpy(deep / 65535).float())

    def test_orientation_is_followed(self, tmp_path):
        image, exif = Image.fromarray(pixels((8, 6, 3))), Image.Exif()
        exif[0x0112] = 6
        image.save(tmp_path / "a.png", exif=exif)
        assert ImageFolder(tmp_path, RGB)[0].shape == RGB

    def test_larger_than_memory(self, tmp_path, monkeypatch):
        monkeypatch.setattr("deft.data.images._IN_MEMORY", 10)
        for i in range(3):
            write(tmp_path, f"{i}.png", pixels(seed=i))
        data = ImageFolder(tmp_path, RGB)
        assert data._decoded is None
        torch.testing.assert_close(
            data[2], torch.from_numpy(pixels(seed=2)).permute(2, 0, 1).float() / 127.5 - 1
        )


class TestChannels:
    @pytest.mark.parametrize(("mode", "count"), [("L", 1), ("RGBA", 4), ("LA", 2)])
    def test_wrong_for_rgb(self, tmp_path, mode, count):
        write(tmp_path, "a.png", mode=mode)
        with pytest.raises(
            BadImage,
            match=rf"a\.png has {count} channels \(mode {mode}\) and the prior takes 3; use "
            r"convert='rgb'",
        ):
            ImageFolder(tmp_path, RGB)
        assert ImageFolder(tmp_path, RGB, convert="rgb")[0].shape == RGB

    def test_wrong_for_grey(self, tmp_path):
        write(tmp_path, "a.png")
        with pytest.raises(
            BadImage, match=r"has 3 channels .* and the prior takes 1; use convert='grey'"
        ):
            ImageFolder(tmp_path, GREY)
        assert ImageFolder(tmp_path, GREY, convert="grey")[0].shape == GREY
        with pytest.raises(BadImage, match="3 after convert='rgb' and the prior takes 1"):
            ImageFolder(tmp_path, GREY, convert="rgb")

    def test_palettes_and_bits_lose_nothing(self, tmp_path):
        write(tmp_path / "p", "a.png", mode="P")
        assert ImageFolder(tmp_path / "p", RGB)[0].shape == RGB
        write(tmp_path / "b", "a.png", mode="1")
        assert set(ImageFolder(tmp_path / "b", GREY)[0].unique().tolist()) == {-1.0, 1.0}

    def test_floats_are_refused(self, tmp_path):
        write(tmp_path, "a.tif", np.random.default_rng(0).random((6, 8)).astype(np.float32))
        with pytest.raises(BadImage, match=r"mode F, whose range is not known; save it as npy"):
            ImageFolder(tmp_path, GREY)


class TestSize:
    def test_wrong(self, tmp_path):
        write(tmp_path, "a.png", pixels((12, 20, 3)))
        with pytest.raises(
            BadImage,
            match=r"is 12 x 20 \(height x width\) and the prior takes 6 x 8; use fit='resize' .* "
            r"fit='crop'",
        ):
            ImageFolder(tmp_path, RGB)

    def test_crop_is_the_middle(self, tmp_path):
        x = pixels((12, 20, 3))
        data = ImageFolder(write(tmp_path, "a.png", x), RGB, fit="crop")
        torch.testing.assert_close(
            data[0], torch.from_numpy(x[3:9, 6:14]).permute(2, 0, 1).float() / 127.5 - 1
        )

    def test_resize_keeps_the_aspect(self, tmp_path):
        disc = np.zeros((60, 120, 3), np.uint8)
        i, j = np.mgrid[:60, :120]
        disc[(i - 29.5) ** 2 + (j - 59.5) ** 2 < 20**2] = 255
        x = ImageFolder(write(tmp_path, "a.png", disc), (3, 30, 30), fit="resize")[0][0] > 0
        assert abs(int(x.any(0).sum()) - int(x.any(1).sum())) <= 1

    def test_too_small_to_crop(self, tmp_path):
        write(tmp_path, "a.png", pixels((4, 4, 3)))
        with pytest.raises(BadImage, match="too small for fit='crop', use fit='resize'"):
            ImageFolder(tmp_path, RGB, fit="crop")
        assert ImageFolder(tmp_path, RGB, fit="resize")[0].shape == RGB


class TestUnreadable:
    def folder(self, tmp_path):
        for i in range(3):
            write(tmp_path, f"{i}.png", pixels(seed=i))
        whole = (tmp_path / "1.png").read_bytes()
        (tmp_path / "1.png").write_bytes(whole[: len(whole) // 2])
        (tmp_path / "9.jpg").write_text("no image")
        return tmp_path

    def test_skipped_with_a_count(self, tmp_path):
        with pytest.warns(
            UserWarning,
            match=r"skipped 2 of 4 images that cannot be read: 1\.png, 9\.jpg\. .*1\.png is "
            r"truncated or no image",
        ):
            data = ImageFolder(self.folder(tmp_path), RGB)
        assert [p.name for p in data.files] == ["0.png", "2.png"]
        assert [p.name for p in data.skipped] == ["1.png", "9.jpg"]
        assert len(data) == 2

    def test_fatal_when_strict(self, tmp_path):
        with pytest.raises(BadImage, match=r"1\.png is truncated or no image"):
            ImageFolder(self.folder(tmp_path), RGB, strict=True)

    def test_none_left(self, tmp_path):
        (tmp_path / "a.png").write_bytes(b"")
        with pytest.raises(
            BadImage, match=r"none of the 1 images .* can be read; the first: .*a\.png"
        ):
            ImageFolder(tmp_path, RGB)

    def test_empty_and_missing(self, tmp_path):
        (tmp_path / "notes.txt").write_text("x")
        with pytest.raises(
            BadImage, match=r"holds no images \(\.png, .*; it holds 1 other files \(\.txt\)\.$"
        ):
            ImageFolder(tmp_path, RGB)
        (tmp_path / "slice.npy").write_bytes(b"")
        with pytest.raises(
            BadImage, match=r"2 other files \(\.npy, \.txt\)\. Stack the arrays into one npy file"
        ):
            ImageFolder(tmp_path, RGB)
        with pytest.raises(BadImage, match="does not exist"):
            ImageFolder(tmp_path / "none", RGB)

    def test_no_warning_without_cause(self, tmp_path):
        write(tmp_path, "a.png")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            ImageFolder(tmp_path, RGB)


def test_bad_options(tmp_path):
    with pytest.raises(InvalidInput, match=r"convert is 'rgb' or 'grey'"):
        ImageFolder(tmp_path, RGB, convert="red")
    with pytest.raises(InvalidInput, match=r"event shape \(channels, height, width\); got \(5,\)"):
        ImageFolder(tmp_path, (5,))


def test_open_images(tmp_path):
    x = pixels((4, 3, 6, 8))
    np.save(tmp_path / "x.npy", x)
    write(tmp_path / "f", "a.png", x[0].transpose(1, 2, 0))
    assert torch.equal(open_images(tmp_path / "x.npy", RGB)[0], open_images(tmp_path / "f", RGB)[0])
    with pytest.raises(InvalidInput, match="arrays are neither converted nor resized"):
        open_images(tmp_path / "x.npy", RGB, fit="crop")


def test_open_slices(tmp_path):
    hu = stack(height=6, width=6)
    np.save(tmp_path / "hu.npy", hu)
    found = open_images(tmp_path / "hu.npy", (1, 6, 6), window="chest")
    torch.testing.assert_close(found[3], Slices(hu, "chest")[3])
    with pytest.raises(InvalidInput, match=r"got int16\. Hounsfield units need a `window`"):
        open_images(tmp_path / "hu.npy", (1, 6, 6), default_window=(-1000.0, 400.0))
    with pytest.raises(InvalidInput, match=r"takes fit='resize' alone"):
        open_images(tmp_path / "hu.npy", (1, 6, 6), window="chest", fit="crop")
    with pytest.raises(InvalidInput, match=r"mapped to \[-1, 1\]; the prior takes \[0, 1\]"):
        open_images(tmp_path / "hu.npy", (1, 6, 6), (0.0, 1.0), window="chest")
    with pytest.raises(InvalidInput, match="a window is for CT slices"):
        open_images(tmp_path, (1, 6, 6), window="chest")


def test_open_dicom(tmp_path):
    pytest.importorskip("pydicom")
    write_dicom(tmp_path / "a.dcm", stack(n=1)[0] + 1024)
    assert open_images(tmp_path, (1, 8, 8), default_window=(-1000.0, 400.0)).window == (
        -1000.0,
        400.0,
    )
    assert len(open_images(tmp_path / "a.dcm", (1, 4, 4), window="full", fit="resize")) == 1
    with pytest.raises(InvalidInput, match="say with `window` what the prior's range means"):
        open_images(tmp_path, (1, 8, 8))


def test_write_png(tmp_path):
    for shape in (RGB, GREY):
        x = pixels(shape)
        write_png(tmp_path / "new" / "a.png", torch.from_numpy(x).float() / 127.5 - 1)
        back = np.asarray(Image.open(tmp_path / "new" / "a.png"))
        assert np.array_equal(back if back.ndim == 2 else back.transpose(2, 0, 1), x.squeeze())
    with pytest.raises(InvalidInput, match=r"got \(2, 6, 8\)"):
        write_png(tmp_path / "a.png", torch.zeros(2, 6, 8))


def test_an_array_that_may_be_slices(tmp_path):
    """Hounsfield units are never assumed of an array; where a problem has a window, the error
    says how to say it.
    """
    np.save(tmp_path / "hu.npy", np.zeros((2, 8, 8)))
    with pytest.raises(
        InvalidInput,
        match=r"expected \(n, 1, 4, 4\)\. If these are CT slices in Hounsfield units, say so with "
        r"the window: \[-1000, 1500\]",
    ):
        open_images(tmp_path / "hu.npy", (1, 4, 4), default_window=(-1000.0, 1500.0))


def test_what_had_nothing_to_do_is_known(tmp_path):
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    assert ImageFolder(tmp_path, (1, 8, 8), convert="grey", fit="resize").idle == ["convert", "fit"]
    Image.new("RGB", (8, 8)).save(tmp_path / "b.png")
    assert ImageFolder(tmp_path, (1, 8, 8), convert="grey", fit="resize").idle == ["fit"]
    Image.new("L", (9, 8)).save(tmp_path / "c.png")
    assert ImageFolder(tmp_path, (1, 8, 8), convert="grey", fit="resize").idle == []
