"""DICOM folders, right and wrong: what is read of each, and what is said."""

import numpy as np
import pytest

from deft.data import Slices, read_dicom
from deft.errors import BadImage, InvalidInput
from tests.data.slices import stack, write_dicom

pytest.importorskip("pydicom", reason="pydicom is in the extra `data`")


class TestDicom:
    write = staticmethod(write_dicom)

    def test_slices_are_in_their_order_and_in_hounsfield_units(self, tmp_path):
        hu = stack(n=3, height=4, width=4)
        for k, place in enumerate((20.0, -5.0, 7.5)):
            self.write(tmp_path / f"{k}.dcm", (hu[k].astype(int) + 1024) // 2, place, slope=2.0, PixelSpacing=[0.7, 0.705])
        (one,) = read_dicom(tmp_path)
        assert one.patient == "P1"
        assert one.spacing == (0.7, 0.705)
        np.testing.assert_allclose(one.hu, hu[[1, 2, 0]], atol=1.0)  # one bit was lost
        slices = Slices.dicom(tmp_path, "chest", size=2)
        assert slices.event_shape == (1, 2, 2)
        assert slices.patients == ["P1"] * 3

    def test_series_of_many_patients(self, tmp_path):
        for patient in ("B", "A"):
            for k in range(2):
                (tmp_path / patient).mkdir(exist_ok=True)
                self.write(tmp_path / patient / f"IM{k}", stack(n=1)[0] + 1024, k, patient, series=f"1.{ord(patient)}")
        assert [one.patient for one in read_dicom(tmp_path)] == ["A", "B"]
        train, test = Slices.dicom(tmp_path).split([0.5, 0.5])
        assert len(train) == len(test) == 2

    @pytest.mark.parametrize(
        ("tags", "says"),
        [
            ({"slope": None}, r"a\.dcm has no RescaleSlope, so that its values have no unit"),
            ({"slope": None, "intercept": None}, "has no RescaleSlope and no RescaleIntercept"),
            ({"RescaleType": "US"}, "says that its values are 'US'; expected 'HU'"),
            ({"Modality": "MR"}, "of the modality MR"),
        ],
    )
    def test_what_a_file_must_say(self, tmp_path, tags, says):
        self.write(tmp_path / "a.dcm", stack(n=1)[0], **tags)
        with pytest.raises(BadImage, match=says):
            read_dicom(tmp_path)

    def test_mixed_sizes(self, tmp_path):
        self.write(tmp_path / "a.dcm", stack(n=1)[0], 0.0)
        self.write(tmp_path / "b.dcm", stack(n=1, height=6)[0], 1.0)
        with pytest.raises(BadImage, match=r"mixed slice sizes .* a\.dcm is 8 x 8 and b\.dcm 6 x 8"):
            read_dicom(tmp_path)

    def test_mixed_sizes_between_series(self, tmp_path):
        self.write(tmp_path / "a.dcm", stack(n=1)[0] + 1024, patient="A", series="1.1")
        self.write(tmp_path / "b.dcm", stack(n=1, height=4, width=4)[0] + 1024, patient="B", series="1.2")
        with pytest.raises(BadImage, match="say a `size` that divides both"):
            Slices.dicom(tmp_path)
        assert len(Slices.dicom(tmp_path, size=4)) == 2

    def test_a_volume(self, tmp_path):
        self.write(tmp_path / "a.dcm", stack(n=3))
        with pytest.raises(BadImage, match="a volume of 3 frames where slices are expected"):
            read_dicom(tmp_path)

    def test_files_that_are_none(self, tmp_path):
        with pytest.raises(BadImage, match="holds no DICOM files"):
            read_dicom(tmp_path)
        (tmp_path / "a.dcm").write_bytes(b"no such thing")
        with pytest.raises(BadImage, match=r"a\.dcm is truncated or no DICOM file"):
            read_dicom(tmp_path)


def test_an_extra_that_is_missing(monkeypatch, tmp_path):
    import sys

    monkeypatch.setitem(sys.modules, "pydicom", None)
    (tmp_path / "a.dcm").write_bytes(b"")
    with pytest.raises(InvalidInput, match=r"pip install deft-diffusion\[data\]"):
        read_dicom(tmp_path)
