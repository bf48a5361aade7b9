"""DICOM folders, right and wrong: what is read of each, and what is said."""

import numpy as np
import pytest

from deft.data import Slices, read_dicom
from deft.errors import BadImage, DeftError, InvalidInput
from tests.data.slices import stack, write_dicom, write_enhanced

pytest.importorskip("pydicom", reason="pydicom is in the extra `data`")


class TestDicom:
    write = staticmethod(write_dicom)

    def test_slices_are_in_their_order_and_in_hounsfield_units(self, tmp_path):
        hu = stack(n=3, height=4, width=4)
        for k, place in enumerate((20.0, -5.0, 7.5)):
            self.write(
                tmp_path / f"{k}.dcm",
                (hu[k].astype(int) + 1024) // 2,
                place,
                slope=2.0,
                PixelSpacing=[0.7, 0.705],
            )
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
                self.write(
                    tmp_path / patient / f"IM{k}",
                    stack(n=1)[0] + 1024,
                    k,
                    patient,
                    series=f"1.{ord(patient)}",
                )
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
        with pytest.raises(
            BadImage, match=r"mixed slice sizes .* a\.dcm is 8 x 8 and b\.dcm 6 x 8"
        ):
            read_dicom(tmp_path)

    def test_mixed_sizes_between_series(self, tmp_path):
        self.write(tmp_path / "a.dcm", stack(n=1)[0] + 1024, patient="A", series="1.1")
        self.write(
            tmp_path / "b.dcm", stack(n=1, height=4, width=4)[0] + 1024, patient="B", series="1.2"
        )
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


HU = stack(n=4)
SEG, CAPTURE, REPORT = (
    "1.2.840.10008.5.1.4.1.1.66.4",
    "1.2.840.10008.5.1.4.1.1.7",
    "1.2.840.10008.5.1.4.1.1.88.67",
)
STRUCTURES, STATE, MR = (
    "1.2.840.10008.5.1.4.1.1.481.3",
    "1.2.840.10008.5.1.4.1.1.11.1",
    "1.2.840.10008.5.1.4.1.1.4",
)
CORONAL = [1, 0, 0, 0, 0, -1]


def good(folder, n=3, **tags):
    """A series of n slices, 2 mm apart."""
    for k in range(n):
        write_dicom(folder / f"{k}.dcm", HU[k] + 1024, 2.0 * k, InstanceNumber=k + 1, **tags)


def one(folder, name="x.dcm", values=None, place=6.0, **tags):
    write_dicom(folder / name, HU[3] + 1024 if values is None else values, place, **tags)


def without_pixels(data):
    for name in (
        "PixelData",
        "Rows",
        "Columns",
        "BitsAllocated",
        "BitsStored",
        "HighBit",
        "PixelRepresentation",
        "SamplesPerPixel",
    ):
        delattr(data, name)


def colour(folder):
    values = np.zeros((8, 8 * 3), np.int16)

    def edit(data):
        (
            data.Columns,
            data.SamplesPerPixel,
            data.PhotometricInterpretation,
            data.PlanarConfiguration,
        ) = 8, 3, "RGB", 0
        data.BitsAllocated = data.BitsStored = 8
        data.HighBit, data.PixelRepresentation, data.PixelData = 7, 0, bytes(192)

    one(folder, values=values, edit=edit)


def truncated(folder):
    one(folder)
    path = folder / "x.dcm"
    path.write_bytes(path.read_bytes()[:-40])


def cut_header(folder):
    one(folder)
    path = folder / "x.dcm"
    path.write_bytes(path.read_bytes()[:200])


def written(name, content):
    return lambda folder: (folder / name).write_bytes(content)


LEFT_OUT = {
    "localizer": (lambda f: one(f, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]), "1 localizer"),
    "localizer without rescale tags": (
        lambda f: one(
            f, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"], slope=None, intercept=None
        ),
        "1 localizer",
    ),
    "localizer at a slice's place": (
        lambda f: one(f, place=2.0, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]),
        "1 localizer",
    ),
    "topogram": (
        lambda f: one(f, SeriesDescription="Topogram 0.6 T20s", series="1.2.4"),
        "1 localizer",
    ),
    "scout": (lambda f: one(f, ImageOrientationPatient=CORONAL), "1 scout"),
    "scout of another size": (
        lambda f: one(f, values=HU[3][:6], ImageOrientationPatient=CORONAL),
        "1 scout",
    ),
    "secondary capture": (lambda f: one(f, SOPClassUID=CAPTURE), "1 secondary capture"),
    "secondary capture without a place": (
        lambda f: one(
            f, SOPClassUID=CAPTURE, slope=None, intercept=None, ImagePositionPatient=None
        ),
        "1 secondary capture",
    ),
    "colour": (colour, "1 picture in colour"),
    "segmentation": (
        lambda f: one(f, values=HU, SOPClassUID=SEG, Modality="SEG"),
        "1 of the modality SEG",
    ),
    "segmentation that says CT": (
        lambda f: one(f, SOPClassUID=SEG),
        "1 object of the class Segmentation Storage",
    ),
    "dose report": (
        lambda f: one(f, SOPClassUID=REPORT, Modality="SR", edit=without_pixels),
        "1 of the modality SR",
    ),
    "structures": (
        lambda f: one(f, SOPClassUID=STRUCTURES, Modality="RTSTRUCT", edit=without_pixels),
        "1 of the modality RTSTRUCT",
    ),
    "presentation state": (
        lambda f: one(f, SOPClassUID=STATE, Modality="PR", edit=without_pixels),
        "1 of the modality PR",
    ),
    "object without an image": (lambda f: one(f, edit=without_pixels), "1 object without an image"),
    "magnetic resonance": (
        lambda f: one(f, SOPClassUID=MR, Modality="MR", series="1.9"),
        "1 of the modality MR",
    ),
    "positron emission": (lambda f: one(f, Modality="PT", series="1.9"), "1 of the modality PT"),
    "truncated pixels": (truncated, "1 damaged file"),
    "truncated header": (cut_header, "1 damaged file"),
    "empty": (written("x.dcm", b""), "1 damaged file"),
    "no DICOM file of that name": (written("x.dcm", b"no such thing"), "1 damaged file"),
    "README": (written("README", b"These are slices."), "1 other file (README)"),
    "text": (written("notes.txt", b"These are slices."), "1 other file (notes.txt)"),
    "picture": (written("x.png", b"\x89PNG"), "1 other file (x.png)"),
    "empty without a suffix": (written("IM9", b""), "1 other file (IM9)"),
    "the same slice twice": (
        lambda f: write_dicom(f / "copy.dcm", HU[1] + 1024, 2.0),
        "1 repeated slice (",
    ),
}


class TestWhatIsLeftOut:
    @pytest.mark.parametrize("name", LEFT_OUT)
    def test_it_is_counted_in_one_warning(self, tmp_path, name):
        add, says = LEFT_OUT[name]
        good(tmp_path)
        add(tmp_path)
        with pytest.warns(UserWarning) as warned:  # noqa: PT030
            (found,) = read_dicom(tmp_path)
        np.testing.assert_array_equal(found.hu, HU[:3])
        (said,) = [str(w.message) for w in warned if str(tmp_path) in str(w.message)]
        assert "skipped 1 of 4" in said
        assert says in said

    @pytest.mark.parametrize("name", LEFT_OUT)
    def test_it_is_fatal_with_strict(self, tmp_path, name):
        add, _ = LEFT_OUT[name]
        good(tmp_path)
        add(tmp_path)
        with pytest.raises(BadImage):
            read_dicom(tmp_path, strict=True)

    @pytest.mark.parametrize(
        "name",
        [
            name
            for name in LEFT_OUT
            if name not in ("the same slice twice", "scout", "scout of another size")
        ],
    )
    def test_alone_it_is_an_error(self, tmp_path, name):
        if (
            name == "secondary capture"
        ):  # with places and rescale tags: some program exported slices so
            return
        LEFT_OUT[name][0](tmp_path)
        with pytest.raises(BadImage):
            read_dicom(tmp_path)

    def test_many_are_counted_by_their_kinds(self, tmp_path):
        good(tmp_path)
        for k in range(7):
            (tmp_path / f"note{k}.txt").write_text("")
        one(tmp_path, "s.dcm", ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
        with pytest.warns(
            UserWarning,
            match=r"skipped 8 of 11 .*: 7 other files, 1 localizer \(note0\.txt, .*, \.\.\.\)",
        ):
            assert len(read_dicom(tmp_path)[0].hu) == 3

    def test_hidden_files_and_the_index_of_a_disc(self, tmp_path, recwarn):
        good(tmp_path)
        (tmp_path / "DICOMDIR").write_bytes(b"\0" * 128 + b"DICM")
        (tmp_path / ".DS_Store").write_bytes(b"x")
        (tmp_path / ".cache").mkdir()
        one(tmp_path / ".cache")
        assert len(read_dicom(tmp_path, strict=True)[0].hu) == 3
        assert not recwarn.list

    def test_slices_that_were_exported_as_secondary_captures(self, tmp_path):
        good(tmp_path, SOPClassUID=CAPTURE)
        with pytest.warns(
            UserWarning, match="secondary captures with places and rescale tags are read as slices"
        ):
            (found,) = read_dicom(tmp_path)
        np.testing.assert_array_equal(found.hu, HU[:3])


class TestNames:
    @pytest.mark.parametrize(
        "name", ["1.2.840.0", "IM0001", "slice.DCM", "a.IMA", "x.dcm.bak", "image.0001"]
    )
    def test_files_are_found_by_their_content(self, tmp_path, name, recwarn):
        one(tmp_path, name)
        np.testing.assert_array_equal(read_dicom(tmp_path)[0].hu, HU[3:])
        assert len(Slices.open(tmp_path, (1, 8, 8), "full")) == 1
        assert not recwarn.list

    @pytest.mark.parametrize("name", ["IM0", "x.dcm", "1.2.3"])
    @pytest.mark.parametrize("meta", [True, False])
    def test_files_without_a_preamble(self, tmp_path, name, meta):
        import pydicom

        one(tmp_path, "x.dcm")
        content = (tmp_path / "x.dcm").read_bytes()[132:]
        if not meta:
            data = pydicom.dcmread(tmp_path / "x.dcm")
            del data.file_meta
            data.save_as(tmp_path / "y", implicit_vr=True, little_endian=True)
            content = (tmp_path / "y").read_bytes()
            (tmp_path / "y").unlink()
        (tmp_path / "x.dcm").unlink()
        (tmp_path / name).write_bytes(content)
        np.testing.assert_array_equal(read_dicom(tmp_path)[0].hu, HU[3:])


def missing_place(folder):
    good(folder)
    write_dicom(folder / "1.dcm", HU[1] + 1024, ImagePositionPatient=None)


def halves(**tags):
    def write(folder):
        good(folder, n=2)
        for k in range(2):
            write_dicom(folder / f"b{k}.dcm", HU[2 + k] + 1024, 10.0 + 2 * k, **tags)

    return write


def one_with(**tags):
    """A series, of whose slices one has other tags."""

    def write(folder):
        good(folder)
        one(folder, **tags)

    return write


def all_with(**tags):
    return lambda folder: good(folder, **tags)


REFUSED = {
    "one without a place": (
        missing_place,
        "2 slices with a position and 1 without",
        "a position for every slice",
    ),
    "two orientations": (halves(ImageOrientationPatient=CORONAL), "2 such as", "one orientation"),
    "one slice that is turned over": (
        one_with(ImageOrientationPatient=[-1, 0, 0, 0, -1, 0]),
        "such as x.dcm",
        "one orientation",
    ),
    "one without an orientation": (
        one_with(ImageOrientationPatient=None),
        "none",
        "one orientation",
    ),
    "two spacings": (
        halves(PixelSpacing=[0.5, 0.5]),
        "(0.7, 0.7) and (0.5, 0.5)",
        "one pixel spacing",
    ),
    "one without a spacing": (one_with(PixelSpacing=None), "none", "one pixel spacing"),
    "different slices at one place": (one_with(place=2.0), "at 2 mm", "one slice for each place"),
    "pixels that are not square": (
        all_with(PixelSpacing=[0.5, 1.0]),
        "0.5 x 1 mm",
        "the same spacing",
    ),
    "a spacing of 0": (all_with(PixelSpacing=[0, 0]), "(0.0, 0.0)", "lengths > 0"),
    "a negative spacing": (all_with(PixelSpacing=[-1, -1]), "(-1.0, -1.0)", "lengths > 0"),
    "one spacing": (all_with(PixelSpacing=[1.0]), "1.0", "2 numbers"),
    "a place of two numbers": (one_with(ImagePositionPatient=[0, 0]), "(0.0, 0.0)", "3 numbers"),
    "a place that is not finite": (
        one_with(ImagePositionPatient=[0, 0, "nan"]),
        "nan",
        "3 numbers",
    ),
    "no orientation at all": (
        all_with(ImageOrientationPatient=[0, 0, 0, 0, 0, 0]),
        "(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)",
        "right angles",
    ),
    "no place and no number": (
        lambda f: [
            write_dicom(f / f"{k}.dcm", HU[k] + 1024, ImagePositionPatient=None) for k in range(2)
        ],
        "",
        "so that slices have an order",
    ),
    "a slope of 0": (all_with(slope=0), "slope 0", "a slope > 0"),
    "a negative slope": (all_with(slope=-1), "slope -1", "a slope > 0"),
    "a slope that is not finite": (all_with(slope="nan"), "nan", "one number"),
    "two slopes": (all_with(slope=[1, 1]), "(1.0, 1.0)", "one number"),
    "an empty intercept": (all_with(intercept=""), "", ""),
    "an intercept beyond all": (all_with(intercept=1e9), "intercept 1e+09", "an intercept in HU"),
    "another unit": (all_with(RescaleType="HU_MOD"), "", ""),
    "electron density": (all_with(RescaleType="ED"), "", ""),
    "nothing but padding": (
        lambda f: write_dicom(
            f / "a.dcm", np.full((8, 8), -2000, np.int16), PixelPaddingValue=-2000
        ),
        "",
        "",
    ),
    "signed values read as unsigned": (
        lambda f: write_dicom(f / "a.dcm", HU[0].view(np.uint16), intercept=0),
        "pixels between",
        "31743 HU",
    ),
    "a shift of the bits": (
        lambda f: write_dicom(
            f / "a.dcm", ((HU[0] + 1024).astype(np.uint16) << 4), BitsStored=12, HighBit=15
        ),
        "HighBit 15",
        "HighBit = BitsStored - 1",
    ),
}


@pytest.mark.filterwarnings("ignore:Invalid value for VR")
class TestWhatIsRefused:
    @pytest.mark.parametrize("name", REFUSED)
    def test_it_is_one_error(self, tmp_path, name):
        write, given, expected = REFUSED[name]
        write(tmp_path)
        with pytest.raises(BadImage) as raised:
            read_dicom(tmp_path)
        assert given in str(raised.value.given or "")
        assert expected in raised.value.expected
        assert "\n" not in str(raised.value)

    @pytest.mark.parametrize(
        ("values", "advice"),
        [
            (
                np.arange(64, dtype=np.uint16).reshape(8, 8) * 14,
                "slope and intercept",
            ),  # stored values, which begin at 0
            (
                np.arange(64, dtype=np.uint16).reshape(8, 8) // 2,
                "slope and intercept",
            ),  # attenuation in 1/m
            (np.arange(64, dtype=np.uint16).reshape(8, 8) % 2, "window"),
        ],
    )
    def test_values_that_are_no_hounsfield_units(self, tmp_path, values, advice):
        write_dicom(tmp_path / "a.dcm", values, intercept=0)
        with pytest.raises(InvalidInput) as raised:
            read_dicom(tmp_path)
        assert "1.2.3" in raised.value.what
        assert "Hounsfield" in raised.value.expected
        assert advice in raised.value.advice

    def test_padding_does_not_hide_them(self, tmp_path):
        values = np.arange(64, dtype=np.uint16).reshape(8, 8) * 14
        write_dicom(tmp_path / "a.dcm", values, intercept=0, PixelPaddingValue=0)
        with pytest.raises(InvalidInput):
            read_dicom(tmp_path)

    def test_a_compression_without_a_decoder(self, tmp_path):
        from pydicom.uid import JPEGLSLossless

        def compressed(data):
            from pydicom.encaps import encapsulate

            data.file_meta.TransferSyntaxUID = JPEGLSLossless
            data.PixelData = encapsulate([b"\xff\xd8\xff\xd9"])
            data["PixelData"].VR = "OB"

        good(tmp_path, edit=compressed)
        with pytest.raises(BadImage) as raised:
            read_dicom(tmp_path)
        if raised.value.expected:  # no decoder is installed
            assert "JPEG-LS" in raised.value.given
            assert "pip install pyjpegls" in raised.value.advice


class TestSeveralSeries:
    def two(self, folder):
        for name, k in (("1.2.3", 0), ("1.2.4", 2)):
            for i in range(2):
                described = {
                    "SeriesDescription": f"Thorax {name[-1]}",
                    "SeriesNumber": name[-1],
                    "StudyInstanceUID": "1.1",
                }
                write_dicom(
                    folder / f"{name}-{i}.dcm", HU[k + i] + 1024, i, series=name, **described
                )

    def test_each_is_one(self, tmp_path):
        self.two(tmp_path)
        found = read_dicom(tmp_path)
        assert [one.name for one in found] == ["1.2.3", "1.2.4"]
        assert [one.description for one in found] == ["Thorax 3", "Thorax 4"]

    def test_one_study_is_ambiguous(self, tmp_path):
        self.two(tmp_path)
        with pytest.raises(InvalidInput) as raised:
            Slices.dicom(tmp_path)
        assert raised.value.given == "2 series"
        assert (
            "1.2.3 (Thorax 3, 2 slices, 8 x 8); 1.2.4 (Thorax 4, 2 slices, 8 x 8)"
            in raised.value.expected
        )
        assert "series='1.2.3'" in raised.value.advice
        assert len(Slices.dicom(tmp_path, series="all")) == 4

    @pytest.mark.parametrize("name", ["1.2.4", "Thorax 4", "thorax 4", "4"])
    def test_one_is_named(self, tmp_path, name):
        self.two(tmp_path)
        (found,) = read_dicom(tmp_path, series=name)
        np.testing.assert_array_equal(found.hu, HU[2:])
        assert len(Slices.open(tmp_path, (1, 8, 8), "full", series=name)) == 2

    def test_a_name_that_several_have(self, tmp_path):
        self.two(tmp_path)
        for k in range(2):
            one(
                tmp_path,
                f"c{k}.dcm",
                HU[k] + 1024,
                k,
                series="1.2.5",
                SeriesDescription="Thorax 4",
                StudyInstanceUID="1.1",
            )
        with pytest.raises(InvalidInput) as raised:
            Slices.dicom(tmp_path, series="Thorax 4")
        assert "series='1.2.4'" in raised.value.advice

    def test_what_is_said_of_another(self, tmp_path, recwarn):
        good(tmp_path)
        one(tmp_path, series="1.2.4", PatientID="", PixelSpacing=[0.7, 0.8])
        read_dicom(tmp_path, series="1.2.3")
        assert not recwarn.list

    def test_another_is_not_looked_at(self, tmp_path):
        self.two(tmp_path)
        write_dicom(tmp_path / "wrong.dcm", HU[0], 9, slope=None, StudyInstanceUID="1.1")
        with pytest.raises(BadImage):
            read_dicom(tmp_path)
        assert len(read_dicom(tmp_path, series="1.2.4")[0].hu) == 2

    def test_an_unknown_name(self, tmp_path):
        self.two(tmp_path)
        with pytest.raises(InvalidInput) as raised:
            read_dicom(tmp_path, series="Thorx 4")
        assert raised.value.given == "Thorx 4"
        assert "1.2.3 (Thorax 3" in raised.value.expected
        assert "did you mean Thorax 4" in raised.value.advice

    def test_two_studies_of_a_patient_are_not(self, tmp_path):
        good(tmp_path, n=2, StudyInstanceUID="1.1")
        for k in range(2):
            one(tmp_path, f"b{k}.dcm", HU[k + 2] + 1024, k, series="1.2.9", StudyInstanceUID="1.2")
        assert len(Slices.dicom(tmp_path)) == 4


def test_damaged_files_alone(tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.dcm").write_bytes(b"no such thing")
    with pytest.raises(
        BadImage,
        match=r"holds no CT slices .* 2 damaged files .*a\.dcm is truncated or no DICOM file",
    ):
        read_dicom(tmp_path)


def test_a_folder_without_any(tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(BadImage, match=r"holds no DICOM files .* it holds 1 other file \(a\.png\)"):
        read_dicom(tmp_path)


def test_a_wrong_file_concerns_its_own_series(tmp_path):
    good(tmp_path)
    write_dicom(tmp_path / "volume.dcm", HU + 1024, series="1.2.4")
    assert len(read_dicom(tmp_path, series="1.2.3")[0].hu) == 3
    with pytest.raises(BadImage, match="a volume of 4 frames"):
        read_dicom(tmp_path)


@pytest.mark.filterwarnings("ignore")
class TestDamage:
    """Whatever is damaged, one error of the library's own says so, or the slices are read."""

    @pytest.fixture(scope="class")
    def content(self, tmp_path_factory):
        folder = tmp_path_factory.mktemp("whole")
        one(folder, PixelPaddingValue=-2000, BitsStored=12, HighBit=11)
        write_enhanced(folder / "e.dcm", HU[:2] + 1024, [0, 1], [-1024] * 2)
        return [(folder / name).read_bytes() for name in ("x.dcm", "e.dcm")]

    @staticmethod
    def read(folder, content):
        (folder / "x.dcm").write_bytes(content)
        try:
            (found,) = read_dicom(folder)
        except DeftError as error:
            assert "\n" not in str(error)  # noqa: PT017
        else:
            assert np.isfinite(found.hu).all()

    @pytest.mark.parametrize("which", [0, 1])
    def test_one_byte(self, tmp_path, content, which):
        whole, draw = content[which], np.random.default_rng(which)
        for _ in range(150):
            changed = bytearray(whole)
            changed[draw.integers(128, len(whole))] = draw.integers(256)
            self.read(tmp_path, bytes(changed))

    @pytest.mark.parametrize(
        "tag",
        [
            "Modality",
            "SOPClassUID",
            "PatientID",
            "RescaleSlope",
            "ImagePositionPatient",
            "Rows",
            "BitsStored",
        ],
    )
    def test_a_type_of_value_that_is_none(self, tmp_path, content, tag):
        """pydicom converts a tag when it is asked for, and raises errors of many kinds then."""
        import struct

        from pydicom.datadict import tag_for_keyword

        number = tag_for_keyword(tag)
        start = struct.pack("<HH", number >> 16, number & 0xFFFF)
        whole = bytearray(content[0])
        at = whole.index(start, 132 + 200 if tag == "SOPClassUID" else 132)
        whole[at + 4 : at + 6] = b"D\x9d"
        self.read(tmp_path, bytes(whole))

    @pytest.mark.parametrize("which", [0, 1])
    def test_the_end(self, tmp_path, content, which):
        for end in np.linspace(0, len(content[which]) - 1, 60).astype(int):
            self.read(tmp_path, content[which][:end])
