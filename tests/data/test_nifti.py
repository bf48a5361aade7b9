import numpy as np
import pytest

from deft.data.nifti import is_nifti, read_nifti
from deft.errors import BadImage, InvalidInput

nibabel = pytest.importorskip("nibabel")
AFFINE = np.diag([1.0, 2.0, 3.0, 1.0])  # to the right, the front, the head
SHAPE = (4, 5, 6)


def volume():
    return np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE)


def written(path, values=None, affine=AFFINE, slope=None):
    image = nibabel.Nifti1Image(volume() if values is None else values, affine)
    if slope is not None:
        image.header.set_slope_inter(*slope)
    nibabel.save(image, path)
    return path


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_a_slice_stands_as_in_dicom(tmp_path, name):
    """Axial: the right at the left, the front at the top; the others with the head at the top."""
    path, v = written(tmp_path / name), volume()
    (found,) = read_nifti(path, "axial:2")
    assert is_nifti(path)
    assert found.values.shape == (5, 4)
    assert found.values[0, 0] == v[-1, -1, 2]  # right, front
    assert found.values[-1, 0] == v[-1, 0, 2]  # right, back
    assert found.spacing == (2.0, 1.0)
    assert found.orientation == "RAS"
    (coronal,) = read_nifti(path, "coronal:1")
    assert coronal.values[0, 0] == v[-1, 1, -1]  # right, head
    assert coronal.spacing == (3.0, 1.0)
    (sagittal,) = read_nifti(path, "sagittal:3")
    assert sagittal.values[0, 0] == v[3, -1, -1]  # front, head
    assert sagittal.values[0, -1] == v[3, 0, -1]  # back, head
    assert sagittal.spacing == (3.0, 2.0)
    np.testing.assert_array_equal(read_nifti(path, 2)[0].values, found.values)


def test_how_the_file_is_turned_does_not_matter(tmp_path):
    """The same body, stored with its axes exchanged and turned over."""
    turned = np.ascontiguousarray(volume()[::-1].transpose(2, 0, 1))
    affine = np.zeros((4, 4))
    affine[0, 1], affine[1, 2], affine[2, 0], affine[3, 3] = -1.0, 2.0, 3.0, 1.0
    (other,) = read_nifti(written(tmp_path / "b.nii", turned, affine), "coronal:1")
    (one,) = read_nifti(written(tmp_path / "a.nii"), "coronal:1")
    np.testing.assert_array_equal(one.values, other.values)
    assert other.orientation == "SLA"
    assert one.spacing == other.spacing


def test_the_scale_of_the_file_is_applied(tmp_path):
    path = written(tmp_path / "a.nii", slope=(0.5, -3.0))
    raw = nibabel.load(path).dataobj.get_unscaled()
    expected = 0.5 * raw[-1, -1, 0] - 3.0
    assert read_nifti(path, 0)[0].values[0, 0] == pytest.approx(expected)


def test_one_slice_needs_no_number(tmp_path):
    path = written(tmp_path / "a.nii", volume()[:, :, :1, None])
    assert read_nifti(path)[0].values.shape == (5, 4)


@pytest.mark.parametrize(
    ("slice", "given", "expected"),
    [
        (None, "nothing: ", "4 sagittal, 5 coronal, 6 axial"),
        ("axial:6", "axial:6", "axial slices from 0 to 5"),
        ("axial:4-6", "axial:4-6", "axial slices from 0 to 5"),
        ("axial:3-2", "axial:3-2", "axial slices from 0 to 5"),
        ("axial:", "axial:", "AXIS:FIRST-LAST"),
        ("", "", "AXIS:FIRST-LAST"),
        ("axial4", "axial4", "AXIS:FIRST-LAST"),
        ("oblique:1", "oblique:1", "AXIS:NUMBER"),
        ("-1", "-1", "AXIS:NUMBER"),
    ],
)
def test_a_wrong_slice(tmp_path, slice, given, expected):
    with pytest.raises(InvalidInput) as raised:
        read_nifti(written(tmp_path / "a.nii"), slice)
    assert raised.value.what == "slice"
    assert str(raised.value.given).startswith(given)
    assert expected in raised.value.expected


@pytest.mark.parametrize(
    ("slice", "axis", "numbers"),
    [
        ("axial:1-3", "axial", [1, 2, 3]),
        ("coronal", "coronal", [0, 1, 2, 3, 4]),
        ("sagittal:2-2", "sagittal", [2]),
        ("4-5", "axial", [4, 5]),
        (3, "axial", [3]),
    ],
)
def test_several_slices(tmp_path, slice, axis, numbers):
    path = written(tmp_path / "a.nii")
    found = read_nifti(path, slice)
    assert [(one.axis, one.number) for one in found] == [(axis, number) for number in numbers]
    for one in found:
        (alone,) = read_nifti(path, f"{axis}:{one.number}")
        np.testing.assert_array_equal(one.values, alone.values)


def test_files_that_are_none(tmp_path):
    whole = written(tmp_path / "a.nii.gz").read_bytes()
    (tmp_path / "cut.nii.gz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.nii").write_text("no volume")
    written(tmp_path / "times.nii", np.zeros((2, 2, 2, 3), np.int16))
    written(tmp_path / "nan.nii", np.full(SHAPE, np.nan, np.float32))
    for name, says in (
        ("cut.nii.gz", "damaged"),
        ("text.nii", "no NIfTI file"),
        ("times.nii", "three axes"),
        ("nan.nii", "NaN"),
        ("none.nii", "does not exist"),
    ):
        with pytest.raises(BadImage, match=says):
            read_nifti(tmp_path / name, 0)


def test_it_is_an_image(tmp_path):
    from deft.data import open_images

    path, v = written(tmp_path / "a.nii"), volume()
    found = open_images(path, (1, 5, 4), (-1.0, 1.0), values=(0.0, 120.0), slice="axial:2")
    assert len(found) == 1
    assert float(found[0][0, 0, 0]) == pytest.approx(v[-1, -1, 2] / 60 - 1)
    with pytest.raises(InvalidInput, match="is NIfTI, whose values"):
        open_images(path, (1, 5, 4), slice="axial:2", convert="grey")
    with pytest.raises(InvalidInput, match="is no NIfTI file"):
        open_images(tmp_path / "a.npy", (1, 5, 4), slice="axial:2")
