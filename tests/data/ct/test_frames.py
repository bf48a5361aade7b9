"""Files of many frames, which say of each where it is and what its values are."""

import numpy as np
import pytest

from deft.data import read_dicom
from deft.errors import BadImage
from tests.data.slices import stack, write_dicom, write_enhanced

pytest.importorskip("pydicom", reason="pydicom is in the extra `data`")

HU = stack(n=4)


class TestEnhanced:
    @pytest.mark.parametrize("n", [1, 3])
    def test_each_frame_has_its_own_place_and_rescaling(self, tmp_path, n, recwarn):
        places, intercepts = [4.0, 0.0, 2.0][:n], [-1024, -1000, -900][:n]
        values = np.stack([HU[k] - intercept for k, intercept in enumerate(intercepts)])
        write_enhanced(tmp_path / "a.dcm", values, places, intercepts)
        (found,) = read_dicom(tmp_path)
        np.testing.assert_array_equal(found.hu, HU[[0] if n == 1 else [1, 2, 0]])
        assert found.spacing == (0.7, 0.7)
        assert not recwarn.list

    def test_pixels_that_are_not_square(self, tmp_path):
        write_enhanced(tmp_path / "a.dcm", HU[:2] + 1024, [0, 1], [-1024] * 2, spacing=(0.5, 1.0))
        with pytest.raises(BadImage) as raised:
            read_dicom(tmp_path)
        assert "0.5 x 1 mm" in raised.value.given

    def test_frames_that_say_nothing_of_themselves(self, tmp_path):
        write_dicom(tmp_path / "a.dcm", HU + 1024)
        with pytest.raises(BadImage, match="a volume of 4 frames") as raised:
            read_dicom(tmp_path)
        assert "one file per slice" in raised.value.advice

    def test_groups_of_fewer_frames(self, tmp_path):
        write_enhanced(tmp_path / "a.dcm", HU[:2] + 1024, [0, 1], [-1024] * 2, NumberOfFrames=2)
        import pydicom

        data = pydicom.dcmread(tmp_path / "a.dcm")
        del data.PerFrameFunctionalGroupsSequence[1]
        data.save_as(tmp_path / "a.dcm")
        with pytest.raises(BadImage) as raised:
            read_dicom(tmp_path)
        assert raised.value.expected == "one functional group per frame"

    def test_a_localizer_among_the_files(self, tmp_path):
        write_enhanced(tmp_path / "a.dcm", HU[:2] + 1024, [0, 1], [-1024] * 2)
        write_enhanced(
            tmp_path / "b.dcm",
            HU[2:3] + 1024,
            [2],
            [-1024],
            ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER", "NONE"],
        )
        with pytest.warns(UserWarning, match="1 localizer"):
            np.testing.assert_array_equal(read_dicom(tmp_path)[0].hu, HU[:2])

    def test_the_kind_of_each_frame(self, tmp_path):
        """A frame that is a localizer, among slices."""
        import pydicom
        from pydicom.dataset import Dataset

        write_enhanced(tmp_path / "a.dcm", HU[:3] + 1024, [0, 1, 2], [-1024] * 3)
        data = pydicom.dcmread(tmp_path / "a.dcm")
        for item, kind in zip(
            data.PerFrameFunctionalGroupsSequence, ("AXIAL", "LOCALIZER", "AXIAL"), strict=True
        ):
            said = Dataset()
            said.FrameType = ["ORIGINAL", "PRIMARY", kind, "NONE"]
            item.CTImageFrameTypeSequence = [said]
        data.save_as(tmp_path / "a.dcm")
        with pytest.warns(UserWarning, match="1 localizer"):
            np.testing.assert_array_equal(read_dicom(tmp_path)[0].hu, HU[[0, 2]])

    def test_rescaling_that_all_frames_share(self, tmp_path):
        import pydicom

        write_enhanced(tmp_path / "a.dcm", HU[:2] + 1024, [0, 1], [-1024] * 2)
        data = pydicom.dcmread(tmp_path / "a.dcm")
        shared = data.SharedFunctionalGroupsSequence[0]
        for item in data.PerFrameFunctionalGroupsSequence:
            shared.PixelValueTransformationSequence = item.PixelValueTransformationSequence
            del item.PixelValueTransformationSequence
        data.save_as(tmp_path / "a.dcm")
        np.testing.assert_array_equal(read_dicom(tmp_path)[0].hu, HU[:2])
        del shared.PixelValueTransformationSequence
        data.save_as(tmp_path / "a.dcm")
        with pytest.raises(BadImage, match="has no RescaleSlope and no RescaleIntercept"):
            read_dicom(tmp_path)
