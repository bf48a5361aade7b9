import numpy as np
import pytest
import torch

from deft.data.arrays import Arrays, convert_range, read_array, to_uint8, write_npz
from deft.errors import BadImage, InvalidInput

SHAPE, RANGE = (1, 4, 6), (-1.0, 1.0)


def floats(low=-1.0, high=1.0, shape=(5, 1, 4, 6)):
    return np.random.default_rng(0).uniform(low, high, shape).astype(np.float32)


def integers(kind=np.uint8, top=256, shape=(5, 1, 4, 6)):
    return np.random.default_rng(0).integers(0, top, shape).astype(kind)


def test_convert_range():
    x = torch.tensor([0, 255, 51], dtype=torch.uint8)
    torch.testing.assert_close(
        convert_range(x, (0.0, 255.0), RANGE), torch.tensor([-1.0, 1.0, -0.6])
    )
    torch.testing.assert_close(
        convert_range(torch.tensor([0.0, 0.5]), (0.0, 1.0), (0.0, 255.0)),
        torch.tensor([0.0, 127.5]),
    )


def test_to_uint8_inverts_and_clips():
    x = integers()
    assert np.array_equal(
        to_uint8(convert_range(torch.from_numpy(x), (0.0, 255.0), RANGE), RANGE).numpy(), x
    )
    assert to_uint8(torch.tensor([-3.0, 3.0]), RANGE).tolist() == [0, 255]


class TestArrays:
    def test_integers_are_mapped_to_the_range(self):
        x = integers()
        data = Arrays(x, SHAPE, RANGE)
        assert len(data) == 5
        torch.testing.assert_close(data[2], torch.from_numpy(x[2]).float() / 127.5 - 1)
        wide = Arrays(integers(np.uint16, 65536), SHAPE, (0.0, 1.0))
        assert 0 <= wide[0].min() <= wide[0].max() <= 1

    def test_floats_in_the_range_are_taken_as_they_are(self):
        x = floats()
        assert torch.equal(Arrays(x, SHAPE, RANGE)[1], torch.from_numpy(x[1]))
        assert torch.equal(Arrays(torch.from_numpy(x), SHAPE, RANGE)[1], torch.from_numpy(x[1]))
        assert torch.equal(Arrays(50 * x, SHAPE, None)[1], 50 * torch.from_numpy(x[1]))

    def test_complex_numbers_are_two_channels(self, tmp_path):
        x = floats(shape=(5, 2, 4, 6))
        z = x[:, 0] + 1j * x[:, 1]
        np.save(tmp_path / "z.npy", z)
        np.save(tmp_path / "turned.npy", np.asfortranarray(z))
        for data in (
            Arrays(z, (2, 4, 6), RANGE),
            Arrays(torch.from_numpy(z), (2, 4, 6), RANGE),
            Arrays.read(tmp_path / "z.npy", (2, 4, 6), RANGE),
            Arrays.read(tmp_path / "turned.npy", (2, 4, 6), RANGE),
        ):
            assert len(data) == 5
            assert torch.equal(data[3], torch.from_numpy(x[3]))
        scaled = Arrays(3 * z, (2, 4, 6), RANGE, values=(-3.0, 3.0))
        torch.testing.assert_close(scaled[0], torch.from_numpy(x[0]))
        for wrong in (z, z.astype(np.complex128)):
            with pytest.raises(InvalidInput, match=r"\(5, 2, 4, 6\); expected \(n, 1, 4, 6\)"):
                Arrays(wrong, SHAPE, RANGE)

    def test_floats_that_say_their_range_are_converted(self):
        x = floats(0, 1)
        torch.testing.assert_close(
            Arrays(x, SHAPE, RANGE, values=(0.0, 1.0))[0], 2 * torch.from_numpy(x[0]) - 1
        )
        assert torch.equal(Arrays(x, SHAPE, RANGE, values=RANGE)[0], torch.from_numpy(x[0]))

    def test_layouts(self):
        x = integers(shape=(5, 4, 6))
        assert torch.equal(Arrays(x, SHAPE, RANGE)[3], Arrays(x[:, None], SHAPE, RANGE)[3])
        rgb = integers(shape=(5, 3, 4, 6))
        last = Arrays(np.moveaxis(rgb, 1, -1), (3, 4, 6), RANGE, channels_last=True)
        assert torch.equal(last[2], Arrays(rgb, (3, 4, 6), RANGE)[2])

    @pytest.mark.parametrize(
        ("array", "settings", "says"),
        [
            (
                floats(0, 255),
                {},
                r"the values are in \[0\.\d+, 25\d\.?\d*\] and the prior takes \[-1, 1\]; .* such "
                r"as \[0,255\], to convert",
            ),
            (
                floats(0, 1),
                {},
                r"no value is negative .* the prior takes \[-1, 1\]; say their range .*: \[0,1\] "
                r"converts them, \[-1,1\] takes",
            ),
            (floats(-1, 1), {"values": (0.0, 1.0)}, r"the range that was said is \[0, 1\]"),
            (floats() * np.nan, {}, "NaN or infinite"),
            (integers(np.int64), {}, "floating point, uint8 or uint16 values; got int64"),
            (
                floats(shape=(5, 3, 4, 6)),
                {},
                r"the array has shape \(5, 3, 4, 6\); expected \(n, 1, 4, 6\)",
            ),
            (floats(shape=(5, 4, 6, 1)), {}, "pass channels_last=True"),
            (floats(shape=(0, 1, 4, 6)), {}, "holds no signals"),
        ],
    )
    def test_errors(self, array, settings, says):
        with pytest.raises(InvalidInput, match=says):
            Arrays(array, SHAPE, RANGE, **settings)

    def test_errors_of_a_file_name_it(self, tmp_path):
        np.save(tmp_path / "wide.npy", floats(0, 255))
        with pytest.raises(InvalidInput, match=r"wide\.npy: the values are in"):
            Arrays.read(tmp_path / "wide.npy", SHAPE, RANGE)

    def test_integers_need_a_range(self):
        with pytest.raises(InvalidInput, match="says no value range"):
            Arrays(integers(), SHAPE, None)


class TestFiles:
    def test_npy_and_npz(self, tmp_path):
        x = integers()
        np.save(tmp_path / "x.npy", x)
        write_npz(tmp_path / "x.npz", {"samples": torch.from_numpy(x)})
        write_npz(tmp_path / "two.npz", {"a": x, "b": x + 1})
        for name in ("x.npy", "x.npz"):
            assert torch.equal(
                Arrays.read(tmp_path / name, SHAPE, RANGE)[0], Arrays(x, SHAPE, RANGE)[0]
            )
        assert np.array_equal(read_array(tmp_path / "two.npz", "b"), x + 1)
        with pytest.raises(InvalidInput, match=r"holds 2 arrays \(a, b\); say which with key="):
            read_array(tmp_path / "two.npz")
        with pytest.raises(InvalidInput, match="holds no array 'c'; it holds a, b"):
            read_array(tmp_path / "two.npz", "c")

    @pytest.mark.parametrize("name", ["x.npy", "x.npz"])
    def test_damaged(self, tmp_path, name):
        np.save(tmp_path / "x.npy", integers())
        np.savez(tmp_path / "x.npz", a=integers())
        path = tmp_path / name
        path.write_bytes(path.read_bytes()[:-30])
        with pytest.raises(BadImage, match=rf"{name} is truncated"):
            read_array(path)
        path.write_bytes(b"")
        with pytest.raises(BadImage, match=rf"{name} is truncated"):
            read_array(path)
        with pytest.raises(BadImage, match="does not exist"):
            read_array(tmp_path / "none.npy")

    def test_pickles_are_not_read(self, tmp_path):
        np.save(tmp_path / "x.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
        with pytest.raises(BadImage, match="no npy or npz file of numbers"):
            read_array(tmp_path / "x.npy")


class TestNamesThatLie:
    def test_the_content_says_what_a_file_is(self, tmp_path):
        np.save(tmp_path / "a.npy", np.ones((2, 3)))
        (tmp_path / "a.npy").rename(tmp_path / "a.npz")
        assert read_array(tmp_path / "a.npz").shape == (2, 3)
        np.savez(tmp_path / "b.npz", x=np.ones((2, 3)))
        (tmp_path / "b.npz").rename(tmp_path / "b.NPY")
        assert read_array(tmp_path / "b.NPY").shape == (2, 3)

    def test_a_file_without_arrays(self, tmp_path):
        np.savez(tmp_path / "none.npz")
        with pytest.raises(BadImage, match="holds no array"):
            read_array(tmp_path / "none.npz")


def test_whole_numbers_beyond_the_range_that_was_said():
    with pytest.raises(InvalidInput, match="the range that was said is"):
        Arrays(np.full((2, 1, 2, 2), 200, np.uint8), (1, 2, 2), (-1.0, 1.0), values=(0.0, 1.0))
