"""Slices of one series in the order of their places, and what is said of them."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deft.data import read_dicom
from deft.errors import BadImage
from tests.data.slices import stack, write_dicom

pytest.importorskip("pydicom", reason="pydicom is in the extra `data`")

HU = stack(n=4)


CORONAL = [1, 0, 0, 0, 0, -1]


def all_with(**tags):
    """Three slices, 2 mm apart."""

    def write(folder):
        for k in range(3):
            write_dicom(folder / f"{k}.dcm", HU[k] + 1024, 2.0 * k, InstanceNumber=k + 1, **tags)

    return write


def one_at(place):
    """Three slices, and another."""

    def write(folder):
        all_with()(folder)
        write_dicom(folder / "x.dcm", HU[3] + 1024, place)

    return write


@settings(max_examples=15, deadline=None)
@given(st.permutations(range(4)), st.permutations(range(4)), st.booleans())
def test_the_order_of_files_does_not_matter(tmp_path_factory, names, numbers, placed):
    """Neither names nor, where there are places, numbers order slices."""
    folder = tmp_path_factory.mktemp("series")
    for k, (name, number) in enumerate(zip(names, numbers, strict=True)):
        tags = {} if placed else {"ImagePositionPatient": None}
        write_dicom(folder / f"{name}", HU[k] + 1024, 1.5 * k - 2, InstanceNumber=number, **tags)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        (found,) = read_dicom(folder)
    np.testing.assert_array_equal(found.hu, HU if placed else HU[np.argsort(numbers)])
    assert len(said) == (0 if placed else 1)


class TestWhatIsSaid:
    @pytest.mark.parametrize(
        ("write", "says"),
        [
            (all_with(PixelSpacing=[0.7, 0.8]), "0.7 x 0.8 mm are not quite square"),
            (all_with(GantryDetectorTilt=15), "tilted by 15 degrees"),
            (
                all_with(ImageOrientationPatient=[1, 0, 0, 0, 0.9659258, 0.2588190]),
                "oblique by 15.0 degrees",
            ),
            (all_with(ImageOrientationPatient=[-1, 0, 0, 0, -1, 0]), "turned or mirrored"),
            (all_with(PatientID=""), "no PatientID"),
            (
                all_with(PhotometricInterpretation="MONOCHROME1"),
                "MONOCHROME1 concerns the display alone",
            ),
            (all_with(LossyImageCompression="01"), "compressed with loss"),
            (one_at(20.0), "2 to 16 mm (usually 2), with 1 gap where slices may be missing"),
            (one_at(5.0), "unevenly spaced, 1 to 2 mm"),
        ],
    )
    def test_of_a_series_that_is_read(self, tmp_path, write, says):
        write(tmp_path)
        with pytest.warns(UserWarning) as warned:  # noqa: PT030
            (found,) = read_dicom(tmp_path)
        np.testing.assert_array_equal(found.hu[:2], HU[:2])
        (said,) = [str(w.message) for w in warned]
        assert says in said
        assert "series 1.2.3" in said

    def test_planes(self, tmp_path):
        for k in range(3):
            write_dicom(
                tmp_path / f"{k}",
                HU[k] + 1024,
                ImageOrientationPatient=CORONAL,
                ImagePositionPatient=[0, 2 * k, 0],
            )
        with pytest.warns(UserWarning, match="coronal, not axial"):
            read_dicom(tmp_path)

    def test_the_order_without_places(self, tmp_path):
        for k, number in enumerate((3, 1, 2)):
            write_dicom(
                tmp_path / f"{k}.dcm",
                HU[k] + 1024,
                ImagePositionPatient=None,
                InstanceNumber=number,
            )
        with pytest.warns(UserWarning, match="order of InstanceNumber"):
            (found,) = read_dicom(tmp_path)
        np.testing.assert_array_equal(found.hu, HU[[1, 2, 0]])
        write_dicom(tmp_path / "9.dcm", HU[3] + 1024, ImagePositionPatient=None, InstanceNumber=2)
        with pytest.raises(BadImage) as raised:
            read_dicom(tmp_path)
        assert raised.value.expected == "one slice for each place"
