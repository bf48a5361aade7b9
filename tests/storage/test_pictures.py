"""The same file gives the same numbers through every door: images, measurements and masks; what
cannot be read right is said.
"""

import io
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from deft.commands.measurements import observation
from deft.data.arrays import Arrays
from deft.data.images import ImageFolder
from deft.errors import BadImage
from deft.problems import Denoising
from deft.problems.masks import MaskFiles
from deft.storage import mask_files, pictures
from tests.commands.conftest import tiny_prior

SIZE = (16, 16)


def grey(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, SIZE).astype(np.uint8)


def saved(path: Path, image: Image.Image, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)
    return path


def turned(image: Image.Image, orientation: int) -> dict:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return {"exif": exif}


def kinds() -> dict[str, tuple[str, Image.Image, dict]]:
    """By name: the file's, the picture, and how it is saved."""
    base = Image.fromarray(grey())
    found = {
        f"{suffix[1:]}": (f"a{suffix}", base, {})
        for suffix in (
            ".png",
            ".PNG",
            ".bmp",
            ".tif",
            ".TIFF",
            ".pgm",
            ".webp",
            ".jpg",
            ".Jpeg",
            ".jfif",
        )
    }
    found["gif"] = ("a.gif", base, {})
    found["16 bits"] = ("a.png", Image.fromarray(grey().astype(np.uint16) * 257), {})
    found["1 bit"] = ("a.png", Image.fromarray(grey()).convert("1"), {})
    found |= {f"orientation {k}": ("a.jpg", base, turned(base, k)) for k in range(1, 9)}
    return found


@pytest.mark.parametrize("kind", kinds())
def test_images_and_measurements_are_read_alike(tmp_path, kind):
    name, image, options = kinds()[kind]
    if name.endswith((".webp", ".jpg", ".Jpeg", ".jfif")) and image.mode == "1":
        pytest.skip("no such file")
    prior = tiny_prior()
    file = saved(
        tmp_path / "in" / name,
        image,
        **({"format": "JPEG"} if name.endswith("jfif") else {}),
        **options,
    )
    convert = "grey" if kind in ("webp", "gif") else None
    read = {
        "images": ImageFolder(file.parent, prior.event_shape, convert=convert)[0],
        "one image": ImageFolder(file, prior.event_shape, convert=convert)[0],
    }
    given = {
        "masks": None,
        "sigma_y": None,
        "convert": convert,
        "value_range": None,
        "strict": False,
    }
    read["measurements"] = observation(file.parent, prior, Denoising(0.1), **given)[0].y[0]
    read["one measurement"] = observation(file, prior, Denoising(0.1), **given)[0].y[0]
    first = read["images"]
    for door, values in read.items():
        torch.testing.assert_close(values, first, msg=door)
    if kind.startswith("orientation") and kind != "orientation 1":
        assert not torch.allclose(first, torch.from_numpy(grey()).float() / 127.5 - 1, atol=0.2)


OBSERVED = np.random.default_rng(1).integers(0, 2, SIZE)


def masks() -> dict[str, tuple[str, object]]:
    seen = OBSERVED.astype(np.uint8)
    alpha = np.full((*SIZE, 4), 128, np.uint8)
    alpha[..., 3] = 255 * seen
    palette = Image.fromarray(seen, mode="P")
    palette.putpalette([0, 0, 0, 255, 255, 255] + [0] * 762)
    return {
        "0 and 255": ("m.png", Image.fromarray(255 * seen)),
        "0 and 1": ("m.png", Image.fromarray(seen)),
        "1 bit": ("m.png", Image.fromarray(255 * seen).convert("1")),
        "16 bits": ("m.png", Image.fromarray(seen.astype(np.uint16) * 65535)),
        "colours": ("m.png", Image.fromarray(np.stack([255 * seen] * 3, -1))),
        "alpha": ("m.png", Image.fromarray(alpha)),
        "palette": ("m.png", palette),
        "upper case": ("m.PNG", Image.fromarray(255 * seen)),
        "bmp": ("m.bmp", Image.fromarray(255 * seen)),
        "numbers": ("m.npy", OBSERVED.astype(np.float32)),
        "truth values": ("m.npy", OBSERVED.astype(bool)),
        "one channel": ("m.npy", OBSERVED[None]),
        "whole numbers": ("m.npy", OBSERVED.astype(np.int64)),
        "0 and 255 as numbers": ("m.npy", 255.0 * OBSERVED),
        "0 and 255 as whole numbers": ("m.npy", (255 * OBSERVED).astype(np.int32)),
        "archive": ("m.npz", OBSERVED.astype(np.float32)),
        "translucent": (
            "m.png",
            Image.fromarray(np.stack([255 * seen] * 3 + [np.full_like(seen, 254)], -1)),
        ),
    }


@pytest.mark.parametrize("kind", masks())
@pytest.mark.parametrize("invert", [False, True])
def test_masks_are_read_alike(tmp_path, kind, invert):
    name, content = masks()[kind]
    file = tmp_path / name
    if isinstance(content, Image.Image):
        content.save(file)
    elif file.suffix == ".npz":
        np.savez(file, content)
    else:
        np.save(file, content)
    expected = 1 - OBSERVED if invert else OBSERVED
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.array_equal(mask_files.mask(file, invert), expected)
        assert torch.equal(
            MaskFiles(str(tmp_path), invert)._masks[0][1], torch.from_numpy(expected).float()
        )


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.zeros(SIZE), "white (1) where observed"),
        (np.full(SIZE, np.nan), "0 and 1"),
        (np.full(SIZE, 7.0), "0 and 1"),
        (np.full(SIZE, -1.0), "0 and 1"),
        (np.ones((3, *SIZE)), "one number a place"),
        (np.ones(SIZE, complex), "one number a place"),
    ],
)
def test_masks_that_cannot_be_meant(tmp_path, values, expected):
    np.save(tmp_path / "m.npy", values)
    with pytest.raises(BadImage) as raised:
        mask_files.mask(tmp_path / "m.npy")
    assert expected in raised.value.expected


def test_columns_are_a_mask_where_they_may_be(tmp_path):
    lines = np.array([True, False, True])
    for name, array in (("plain", lines), ("axes", lines[None, :, None])):
        np.save(tmp_path / f"{name}.npy", array)
        found = mask_files.mask(tmp_path / f"{name}.npy", rows=2)
        assert found.tolist() == [[1, 0, 1]] * 2
        assert mask_files.mask(tmp_path / f"{name}.npy", True, rows=1).tolist() == [[0, 1, 0]]
    with pytest.raises(BadImage, match="one number a place"):
        mask_files.mask(tmp_path / "plain.npy")


def test_masks_that_are_odd_are_said(tmp_path):
    np.save(tmp_path / "all.npy", np.ones(SIZE))
    with pytest.warns(UserWarning, match="nothing is missing"):
        mask_files.mask(tmp_path / "all.npy")
    Image.fromarray(grey()).save(tmp_path / "grey.png")
    with pytest.raises(BadImage) as raised:
        mask_files.mask(tmp_path / "grey.png")
    assert "between black and white" in raised.value.given
    smooth = np.zeros((10, 10), np.uint8)
    smooth[:, 3], smooth[:, 4:] = 100, 255
    Image.fromarray(smooth).save(tmp_path / "smooth.png")
    with pytest.warns(UserWarning, match="are grey"):
        assert mask_files.mask(tmp_path / "smooth.png").mean() == 0.6


class TestPlaces:
    def test_hidden_folders_do_not_count_and_others_are_counted(self, tmp_path):
        for name in (
            "a.png",
            "inner/b.png",
            ".ipynb_checkpoints/a-checkpoint.png",
            "__MACOSX/a.png",
            ".hidden.png",
        ):
            saved(tmp_path / name, Image.fromarray(grey()))
        (tmp_path / "c.heic").write_bytes(b"picture")
        np.save(tmp_path / "d.npy", grey())
        with pytest.warns(
            UserWarning,
            match=r"2 images are read; left out are files of other kinds: 1 \.heic, 1 \.npy",
        ):
            files = pictures.found(tmp_path, "images")
        assert [file.name for file in files] == ["a.png", "b.png"]

    def test_nothing_and_nowhere(self, tmp_path):
        with pytest.raises(BadImage, match="does not exist"):
            pictures.found(tmp_path / "none", "images")
        with pytest.raises(BadImage, match="it holds nothing"):
            pictures.found(tmp_path, "images")

    def test_permission_denied_is_said(self, tmp_path, monkeypatch):
        saved(tmp_path / "a.png", Image.fromarray(grey()))
        monkeypatch.setattr("os.access", lambda *given: False)
        with pytest.raises(BadImage, match="permission denied"):
            pictures.found(tmp_path, "images")

    def test_pages_and_size(self, tmp_path, monkeypatch):
        pages = [Image.fromarray(grey(k)) for k in range(5)]
        pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
        with pytest.raises(BadImage) as raised:
            pictures.decoded(tmp_path / "a.tif")
        assert raised.value.given == "5 pages"
        saved(tmp_path / "b.png", Image.fromarray(grey()))
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
        with pytest.raises(BadImage) as raised:
            pictures.decoded(tmp_path / "b.png")
        assert raised.value.given == "256 pixels"

    def test_what_is_advised_works(self, tmp_path):
        """16-bit grey for a prior in colour: converted, as the error says."""
        deep = grey().astype(np.uint16) * 257
        saved(tmp_path / "a.png", Image.fromarray(deep))
        with pytest.raises(BadImage, match="convert='rgb'"):
            ImageFolder(tmp_path, (3, *SIZE))
        read = ImageFolder(tmp_path, (3, *SIZE), (0.0, 1.0), convert="rgb")[0]
        torch.testing.assert_close(read, torch.from_numpy(deep / 65535).float().expand(3, -1, -1))

    def test_12_bits_in_16(self, tmp_path):
        saved(tmp_path / "a.png", Image.fromarray(grey().astype(np.uint16) * 16))
        with pytest.warns(UserWarning, match="12 bits"):
            ImageFolder(tmp_path, (1, *SIZE))
        given = {
            "masks": None,
            "sigma_y": None,
            "convert": None,
            "value_range": None,
            "strict": False,
        }
        with pytest.warns(UserWarning, match="12 bits"):
            observation(tmp_path, tiny_prior(), Denoising(0.1), **given)
        stack = np.stack([grey()[None].astype(np.uint16) * 16] * 2)
        np.save(tmp_path / "b.npy", stack)
        with pytest.warns(UserWarning, match="12 bits"):
            observation(tmp_path / "b.npy", tiny_prior(), Denoising(0.1), **given)
        with pytest.warns(UserWarning, match="12 bits"):
            Arrays(stack, (1, *SIZE), (-1.0, 1.0))

    def test_a_truncated_file(self, tmp_path):
        buffer = io.BytesIO()
        Image.fromarray(grey()).save(buffer, format="PNG")
        (tmp_path / "a.png").write_bytes(buffer.getvalue()[:100])
        with pytest.raises(pictures.Unreadable, match="truncated or no image"):
            pictures.decoded(tmp_path / "a.png")
