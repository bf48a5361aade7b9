import subprocess
import sys

import numpy as np
import pytest
import torch

from deft.data import Slices, write_npz
from deft.data.ct import holds_slices
from deft.errors import BadImage, InvalidInput
from tests.data.slices import stack, write_dicom, write_lodopab


class TestSlices:
    def test_the_window_is_the_range(self):
        hu = stack()
        slices = Slices(hu, (-1000.0, 1000.0))
        assert len(slices) == 6
        assert slices.event_shape == slices[0].shape == (1, 8, 8)
        expected = torch.from_numpy(hu[3].astype(np.float32)).clamp(-1000, 1000)
        torch.testing.assert_close(slices[3][0], expected / 1000)
        torch.testing.assert_close(slices.hounsfield(slices[3])[0], expected, atol=1e-3, rtol=1e-5)
        torch.testing.assert_close(slices.slice(3), torch.from_numpy(hu[3].astype(np.float32)))

    def test_blocks_are_averaged_before_the_window(self):
        hu = np.full((1, 4, 4), -1000, np.int16)
        hu[0, 0, 0] = 3000
        assert Slices(hu, (-1000.0, 1000.0), size=2)[0][0, 0, 0] == 0.0

    @pytest.mark.parametrize("suffix", [".npy", ".npz"])
    def test_arrays(self, tmp_path, suffix):
        hu, path = stack(), tmp_path / f"slices{suffix}"
        if suffix == ".npy":
            np.save(path, hu)
            slices = Slices.read(path)
        else:
            write_npz(path, {"hu": hu, "source": np.array(["a", "a", "b", "b", "c", "c"])})
            slices = Slices.read(path, key="hu", patients="source")
            assert slices.patients == ["a", "a", "b", "b", "c", "c"]
        torch.testing.assert_close(slices.slice(5), torch.from_numpy(hu[5].astype(np.float32)))

    @pytest.mark.parametrize(
        ("hu", "settings", "says"),
        [
            (
                stack().reshape(1, 6, 8, 8),
                {},
                r"got the shape \(1, 6, 8, 8\), a volume of each signal where slices are expected",
            ),
            (stack()[0], {}, "no stack of slices"),
            (stack().astype(np.uint8), {}, "8-bit values are no Hounsfield units"),
            (np.random.default_rng(0).uniform(0, 1.4, (2, 4, 4)), {}, "look like attenuations"),
            (stack() + 1024, {}, "without their rescale slope and intercept"),
            (stack(), {"patients": ["a"]}, "got 1 for 6 slices"),
            (stack(), {"size": 3}, r"slices of 8 x 8 cannot be averaged .* 3 x 3"),
            (stack(), {"through": "lnug"}, "did you mean lung"),
        ],
    )
    def test_errors(self, hu, settings, says):
        with pytest.raises(InvalidInput, match=says):
            Slices(hu, **settings)

    def test_values_that_are_not_finite(self):
        hu = stack(n=40).astype(np.float32)
        hu[1, 2, 3] = np.nan
        slices = Slices(hu)
        with pytest.raises(BadImage, match="slice 1 holds NaN"):
            slices[1]
        with pytest.raises(BadImage, match="NaN"):
            Slices(hu * np.nan)


class TestOpen:
    def test_arrays(self, tmp_path):
        hu, event_shape = stack(), (1, 8, 8)
        np.save(tmp_path / "x.npy", hu)
        np.save(tmp_path / "channels.npy", hu[:, None])
        slices = Slices.open(tmp_path / "x.npy", event_shape, (-1000.0, 1000.0))
        torch.testing.assert_close(slices[2], Slices(hu, (-1000.0, 1000.0))[2])
        torch.testing.assert_close(
            slices[2], Slices.open(tmp_path / "channels.npy", event_shape, (-1000.0, 1000.0))[2]
        )
        small = Slices.open(tmp_path / "x.npy", (1, 4, 4), "full", average=True)
        torch.testing.assert_close(small[1], Slices(hu, size=4)[1])
        assert not holds_slices(tmp_path / "x.npy")

    def test_dicom(self, tmp_path):
        pytest.importorskip("pydicom")
        (tmp_path / "series").mkdir()
        for k in range(2):
            write_dicom(tmp_path / "series" / f"IM{k}", stack(n=1, seed=k)[0] + 1024, k)
        assert holds_slices(tmp_path)
        assert holds_slices(tmp_path / "series" / "IM0")
        assert len(Slices.open(tmp_path, (1, 8, 8), "full")) == 2

    def test_lodopab(self, tmp_path):
        pytest.importorskip("h5py")
        write_lodopab(tmp_path, 0, stack(n=3))
        assert holds_slices(tmp_path)
        assert len(Slices.open(tmp_path, (1, 8, 8), "full")) == 3
        write_lodopab(tmp_path, 0, stack(n=2), part="test")
        with pytest.raises(BadImage, match="holds the parts test, train of LoDoPaB-CT"):
            Slices.open(tmp_path, (1, 8, 8), "full")

    def test_what_is_not_slices(self, tmp_path):
        assert not holds_slices(tmp_path)
        assert not holds_slices(tmp_path / "nothing")
        (tmp_path / "LICENSE").write_text("terms")
        (tmp_path / "a.png").write_bytes(b"")
        assert not holds_slices(tmp_path)

    def test_errors(self, tmp_path):
        np.save(tmp_path / "x.npy", stack())
        np.save(tmp_path / "volumes.npy", stack(n=4).reshape(2, 2, 8, 8))
        with pytest.raises(
            BadImage, match=r"slices of 8 x 8 and the prior takes 4 x 4; fit='resize'"
        ):
            Slices.open(tmp_path / "x.npy", (1, 4, 4), "full")
        with pytest.raises(
            InvalidInput, match=r"the prior takes \(3, 8, 8\); give a prior of one channel"
        ):
            Slices.open(tmp_path / "x.npy", (3, 8, 8), "full")
        with pytest.raises(InvalidInput, match="a volume of each signal where slices are expected"):
            Slices.open(tmp_path / "volumes.npy", (1, 8, 8), "full")

    def test_one_of_several_arrays(self, tmp_path):
        hu = stack()
        write_npz(tmp_path / "x.npz", {"hu": hu, "noise": hu + 1})
        with pytest.raises(InvalidInput, match="say which with key="):
            Slices.open(tmp_path / "x.npz", (1, 8, 8), "full")
        slices = Slices.open(tmp_path / "x.npz", (1, 8, 8), "full", key="hu")
        torch.testing.assert_close(slices[2], Slices(hu)[2])

    @pytest.mark.parametrize("option", ["key", "series"])
    def test_an_option_without_use(self, tmp_path, option):
        np.save(tmp_path / "x.npy", stack())
        with pytest.raises(InvalidInput) as raised:
            Slices.open(tmp_path / "x.npy", (1, 8, 8), "full", **{option: "hu"})
        assert raised.value.what == option
        assert raised.value.given == "hu"
        assert "x.npy" in raised.value.advice

    def test_a_key_where_there_is_a_folder(self, tmp_path):
        with pytest.raises(InvalidInput) as raised:
            Slices.open(tmp_path, (1, 8, 8), "full", key="hu")
        assert raised.value.what == "key"

    def test_a_path_that_is_not_there(self, tmp_path):
        with pytest.raises(BadImage, match="does not exist"):
            Slices.open(tmp_path / "nothing", (1, 8, 8), "full")


@pytest.mark.parametrize("size", [0, -1, 2.5, True, "4"])
def test_a_size_that_is_none(size):
    with pytest.raises(InvalidInput) as raised:
        Slices(stack(), size=size)
    assert raised.value.given == size
    assert raised.value.expected == "a number of pixels, at least 1"


@pytest.mark.parametrize("index", [[6], [-7], [0.5], [True], ["a"]])
def test_numbers_of_slices_that_are_none(index):
    with pytest.raises(InvalidInput) as raised:
        Slices(stack()).take(index)
    assert raised.value.given == index[0]


@pytest.mark.parametrize("hu", [[[1.0]], None, "hu.npy"])
def test_what_is_no_stack(hu):
    with pytest.raises(InvalidInput, match="no stack of slices"):
        Slices(hu)


class TestCopies:
    def test_an_array_in_memory_is_not_handed_out(self):
        hu = stack().astype(np.float32)
        before = hu.copy()
        slices = Slices(hu)
        slices.slice(0).add_(1)
        slices[0].add_(1)
        assert np.array_equal(hu, before)

    def test_a_mapped_file_is_not_handed_out(self, tmp_path):
        """Memory that is mapped for reading ends the process that writes to it; hence another
        process.
        """
        files = {kind: tmp_path / f"{kind}.npy" for kind in ("float32", "float64", "int16")}
        for kind, path in files.items():
            np.save(path, stack().astype(kind))
        before = {path: path.read_bytes() for path in files.values()}
        code = (
            "import sys\nfrom deft.data import Slices\nfor path in sys.argv[1:]:\n"
            "    s = Slices.read(path, 'full'); s.slice(0).add_(1); s[0].add_(1); "
            "s.take([0]).slice(0).zero_()\nprint('alive')"
        )
        command = [sys.executable, "-W", "error", "-c", code, *map(str, files.values())]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
        assert "alive" in done.stdout
        assert {path: path.read_bytes() for path in files.values()} == before
