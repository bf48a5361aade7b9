"""Stored values as Hounsfield units: padding, signs, bits, compression."""

import numpy as np
import pytest

from deft.data import Slices, read_dicom
from tests.data.slices import stack, write_dicom

pytest.importorskip("pydicom", reason="pydicom is in the extra `data`")

HU = stack(n=4)


class TestPadding:
    """A field of view with padding around it; what is right is air, -1000 HU, before anything is
    averaged.
    """

    @staticmethod
    def framed(padding, inside=1024, kind=np.int16):
        values = np.full((8, 8), padding, np.int64)
        values[2:6, 2:6] = inside
        values[3, 3] = 24
        return values.astype(kind)

    def check(self, folder):
        hu = read_dicom(folder)[0].hu[0]
        assert (hu[:2] == -1000).all()
        assert hu[2, 2] == 0
        assert Slices.dicom(folder, "full", size=4).slice(0)[0, 0] == -1000.0

    @pytest.mark.parametrize(
        ("padding", "kind", "tags"),
        [
            (-2000, np.int16, {"PixelPaddingValue": -2000}),
            (63536, np.uint16, {"PixelPaddingValue": 63536}),
            (-2000, np.int16, {"PixelPaddingValue": -2001, "PixelPaddingRangeLimit": -1990}),
            (-2000, np.int16, {"PixelPaddingValue": -1990, "PixelPaddingRangeLimit": -2001}),
            (63536, np.uint16, {"PixelPaddingValue": 63000, "PixelPaddingRangeLimit": 65535}),
            (-32768, np.int16, {"PixelPaddingValue": -32768}),
            (0, np.uint16, {"PixelPaddingValue": 0}),
            (-2000, np.int16, {"PixelPaddingValue": -2000, "BitsStored": 12, "HighBit": 11}),
        ],
    )
    def test_that_a_tag_names(self, tmp_path, padding, kind, tags, recwarn):
        write_dicom(tmp_path / "a.dcm", self.framed(padding, kind=kind), **tags)
        self.check(tmp_path)
        assert not recwarn.list

    @pytest.mark.parametrize("kind", [np.int16, np.uint16])
    def test_of_another_sign_than_the_pixels(self, tmp_path, kind):
        from pydicom.dataelem import DataElement

        other = ("US", 63536) if kind == np.int16 else ("SS", -2000)
        values = self.framed(-2000 if kind == np.int16 else 63536, kind=kind)
        write_dicom(
            tmp_path / "a.dcm", values, edit=lambda data: data.add(DataElement(0x00280120, *other))
        )
        self.check(tmp_path)

    @pytest.mark.parametrize(
        ("padding", "kind", "tags"),
        [
            (-2000, np.int16, {}),
            (63536, np.uint16, {}),
            (-32768, np.int16, {}),
            (63536, np.uint16, {"BitsStored": 12, "HighBit": 11}),
            (-3024, np.int16, {"BitsStored": 12, "HighBit": 11}),
        ],
    )
    def test_that_no_tag_names(self, tmp_path, padding, kind, tags):
        write_dicom(tmp_path / "a.dcm", self.framed(padding, kind=kind), **tags)
        with pytest.warns(UserWarning, match="padding that no PixelPaddingValue names"):
            self.check(tmp_path)

    def test_at_a_value_that_tissue_has(self, tmp_path):
        write_dicom(tmp_path / "a.dcm", self.framed(1000), PixelPaddingValue=1000)
        with pytest.warns(UserWarning, match="PixelPaddingValue is at -24 HU, where tissue is"):
            self.check(tmp_path)


class TestBits:
    def test_a_sign_that_was_not_extended(self, tmp_path, recwarn):
        values = (HU[0].astype(int) & 0xFFF).astype(np.int16)
        write_dicom(tmp_path / "a.dcm", values, BitsStored=12, HighBit=11, intercept=0)
        np.testing.assert_array_equal(read_dicom(tmp_path)[0].hu[0], HU[0])
        assert not recwarn.list

    def test_an_overlay_above_the_values(self, tmp_path):
        stored = (HU[0] + 1024).astype(np.uint16)
        drawn = stored.copy()
        drawn[:2] |= 1 << 12
        write_dicom(tmp_path / "a.dcm", drawn, BitsStored=12, HighBit=11)
        with pytest.warns(UserWarning, match=r"bits above BitsStored \(12\)"):
            np.testing.assert_array_equal(read_dicom(tmp_path)[0].hu[0], HU[0])

    def test_run_lengths(self, tmp_path):
        from pydicom import dcmread
        from pydicom.uid import RLELossless

        write_dicom(tmp_path / "x.dcm", HU[3] + 1024)
        data = dcmread(tmp_path / "x.dcm")
        data.compress(RLELossless)
        data.save_as(tmp_path / "x.dcm")
        np.testing.assert_array_equal(read_dicom(tmp_path)[0].hu, HU[3:])
