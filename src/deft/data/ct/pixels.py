"""Stored values of a DICOM file as Hounsfield units.

    HU = RescaleSlope * stored + RescaleIntercept

Padding (PixelPaddingValue, to PixelPaddingRangeLimit), which scanners store outside of the field of
view, is air: -1000 HU, before anything is averaged. MONOCHROME1 concerns the display alone; it
leaves Hounsfield units as they are.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from deft.data.ct.extra import extra
from deft.data.ct.files import Unreadable, sound
from deft.data.ct.frames import numbers, part, text
from deft.data.ct.units import AIR, AIR_ENDS, LARGEST
from deft.errors import BadImage

_PACKAGES = {
    "JPEG 2000": "pylibjpeg pylibjpeg-openjpeg",
    "High-Throughput JPEG 2000": "pylibjpeg pylibjpeg-openjpeg",
    "JPEG-LS": "pyjpegls",
    "RLE": "pylibjpeg pylibjpeg-rle",
    "JPEG": "pylibjpeg pylibjpeg-libjpeg",
}


def read_frames(
    file: Path, wanted: list[int], notes: list[str]
) -> dict[int, tuple[np.ndarray, float, float]]:
    """The frames of a file that are wanted: HU (height, width), the least and the greatest of what
    is not padding.

    What was done beyond the header's word is added to `notes`. Raises Unreadable for damaged
    pixels, and BadImage for a missing decoder and for values whose unit is not known.
    """
    pydicom = extra("pydicom")
    with sound(file):
        header = pydicom.dcmread(file, force=True)
        return _read(header, file, wanted, notes)


def _read(
    header: Any, file: Path, wanted: list[int], notes: list[str]
) -> dict[int, tuple[np.ndarray, float, float]]:
    rescaled = {i: _rescale(header, i, file) for i in wanted}
    stored = _stored(header, file)
    frames = stored[None] if stored.ndim == 2 else stored
    if frames.ndim != 3 or len(frames) <= max(wanted):
        raise BadImage(
            f"{file} holds pixels of the shape {stored.shape}; expected one slice, (height, "
            "width), for each frame."
        )
    if text(header, "PhotometricInterpretation") == "MONOCHROME1":
        notes.append(
            "MONOCHROME1 concerns the display alone; Hounsfield units are read as they are stored"
        )
    if text(header, "LossyImageCompression") == "01":
        notes.append("values were compressed with loss")
    return {i: _hounsfield(frames[i], header, rescaled[i], file, notes) for i in wanted}


def _rescale(header: Any, i: int, file: Path) -> tuple[float, float]:
    """Slope and intercept of a frame. Raises BadImage where they do not lead to Hounsfield
    units.
    """
    item = part(header, i, "PixelValueTransformationSequence")
    if header.get("ModalityLUTSequence") or item.get("ModalityLUTSequence"):
        raise BadImage(
            f"{file} has a ModalityLUTSequence, a table of values without a unit",
            expected="RescaleSlope and RescaleIntercept",
            advice="export the series with its rescale tags",
        )
    slope, intercept = (
        numbers(item, name, file, 1) for name in ("RescaleSlope", "RescaleIntercept")
    )
    missing = [
        name
        for name, value in (("RescaleSlope", slope), ("RescaleIntercept", intercept))
        if value is None
    ]
    if missing or slope is None or intercept is None:
        raise BadImage(
            f"{file} has no {' and no '.join(missing)}, so that its values have no unit",
            advice="export the series with its rescale tags",
        )
    unit = (text(item, "RescaleType") or "HU").upper()
    if unit != "HU":
        raise BadImage(
            f"{file} says that its values are {unit!r}; expected 'HU'. Units in a series are not "
            "mixed, nor guessed."
        )
    if not 0 < slope[0] <= 1000 or abs(intercept[0]) > 1e5:
        raise BadImage(
            f"{file}: rescaling",
            given=f"slope {slope[0]:g}, intercept {intercept[0]:g}",
            expected="a slope > 0 in HU per stored value, and an intercept in HU such as -1024",
            advice="export the series with its rescale tags",
        )
    return slope[0], intercept[0]


def _stored(header: Any, file: Path) -> np.ndarray:
    """Stored values as they are in the file, bits above BitsStored included."""
    from pydicom.dataset import FileMetaDataset
    from pydicom.pixels import pixel_array  # type: ignore[attr-defined]
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    if getattr(header, "file_meta", None) is None:
        header.file_meta = FileMetaDataset()
    if not header.file_meta.get("TransferSyntaxUID"):
        implicit, little = header.original_encoding
        header.file_meta.TransferSyntaxUID = (
            ImplicitVRLittleEndian
            if implicit
            else ExplicitVRLittleEndian
            if little
            else ExplicitVRBigEndian
        )
    syntax = header.file_meta.TransferSyntaxUID
    _check_decoder(syntax, file)
    try:
        if syntax.is_encapsulated:
            return np.asarray(pixel_array(header, raw=True))
        return np.asarray(pixel_array(header, raw=True, correct_unused_bits=False))
    except Exception as error:  # of many kinds
        said = " ".join(str(error).split())
        hint = (
            f"; another decoder may read it: `pip install {_packages(syntax)}`"
            if syntax.is_encapsulated
            else ""
        )
        raise Unreadable(
            f"the pixels of {file} are truncated, or cannot be decoded ({said[:200]}){hint}."
        ) from error


def _check_decoder(syntax: Any, file: Path) -> None:
    from pydicom.pixels import get_decoder  # type: ignore[attr-defined]

    try:
        available = get_decoder(syntax).is_available
    except NotImplementedError:
        raise BadImage(
            f"the pixels of {file}",
            given=f"the compression {syntax.name}",
            expected="one that pydicom decodes",
            advice="decompress the series",
        ) from None
    if not available:
        raise BadImage(
            f"the pixels of {file} cannot be decoded",
            given=f"the compression {syntax.name}",
            expected="an installed decoder for it",
            advice=f"install one with `pip install {_packages(syntax)}`, or decompress the series",
        )


def _packages(syntax: Any) -> str:
    return next(
        (packages for name, packages in _PACKAGES.items() if str(syntax.name).startswith(name)),
        "pylibjpeg pylibjpeg-libjpeg",
    )


def _hounsfield(
    stored: np.ndarray, header: Any, rescaled: tuple[float, float], file: Path, notes: list[str]
) -> tuple[np.ndarray, float, float]:
    slope, intercept = rescaled
    values = _used_bits(stored, header, file, notes)
    outside = _padded(stored, values, header)
    hu = values.astype(np.float32) * np.float32(slope) + np.float32(intercept)
    tagged = hu[outside]
    if tagged.size and float(tagged.max()) > -900 and float(tagged.min()) < 3100:
        notes.append(
            f"PixelPaddingValue is at {float(tagged.max()):g} HU, where tissue is; those pixels "
            "are read as air"
        )
    if not np.isfinite(hu).all():
        raise BadImage(f"{file} holds NaN or infinite values.")
    outside = outside | _untagged(hu, outside, file, notes)
    if outside.all():
        raise BadImage(f"{file} holds nothing but padding.")
    low, high = float(hu[~outside].min()), float(hu[~outside].max())
    hu[outside] = AIR
    return hu, low, high


def _padded(stored: np.ndarray, values: np.ndarray, header: Any) -> np.ndarray:
    """Which pixels are padding; its tag may have another sign than the pixels, which is what the
    bits are compared for.
    """
    nothing = np.zeros(stored.shape, bool)
    first = header.get("PixelPaddingValue")
    if first is None or first == "" or not np.issubdtype(stored.dtype, np.integer):
        return nothing
    last = header.get("PixelPaddingRangeLimit")
    try:
        ends = np.array([int(first), int(first if last is None or last == "" else last)]).astype(
            stored.dtype
        )
    except (TypeError, ValueError):
        return nothing
    least, most = ends.min(), ends.max()
    result: np.ndarray = ((stored >= least) & (stored <= most)) | (
        (values >= least) & (values <= most)
    )
    return result


def _untagged(hu: np.ndarray, known: np.ndarray, file: Path, notes: list[str]) -> np.ndarray:
    """Padding that no tag names: values below all air, and one value beyond all metal. Raises
    BadImage for several such values.
    """
    below, above = (hu < AIR_ENDS) & ~known, (hu > LARGEST) & ~known
    if above.any():
        found = np.unique(hu[above])
        if len(found) > 1:
            raise BadImage(
                f"{file}",
                given=f"{int(above.sum())} pixels between {found[0]:g} and {found[-1]:g} HU",
                expected="at most 31743 HU, the end of the extended scale",
                advice="its PixelRepresentation may say unsigned for signed values; export the "
                "series again",
            )
        notes.append(
            f"pixels at {found[0]:g} HU are padding that no PixelPaddingValue names; they are "
            "read as air"
        )
    if below.any():
        notes.append(
            f"pixels below {AIR_ENDS:g} HU are padding that no PixelPaddingValue names; they are "
            "read as air"
        )
    result: np.ndarray = below | above
    return result


def _used_bits(stored: np.ndarray, header: Any, file: Path, notes: list[str]) -> np.ndarray:
    """The bits up to BitsStored, with their sign; what stands above is an overlay, the sign, or
    padding.
    """
    width = 8 * stored.dtype.itemsize
    used = int(header.get("BitsStored") or width)
    if used >= width or not np.issubdtype(stored.dtype, np.integer):
        return stored
    shift = width - used
    values: np.ndarray = np.right_shift(np.left_shift(stored, shift), shift)
    signed = np.issubdtype(stored.dtype, np.signedinteger)
    beyond = (values != stored) & ~(
        signed & (stored >= 0) & (stored < 1 << used)
    )  # a sign bit that was not extended is no fault
    if not beyond.any():
        return values
    if int(header.get("HighBit") or 0) != used - 1:
        raise BadImage(
            f"{file}",
            given=f"HighBit {header.get('HighBit')} with BitsStored {used}, and values beyond them",
            expected="HighBit = BitsStored - 1",
            advice="export the series again; its values may be shifted",
        )
    found = np.unique(stored[beyond])
    if len(found) == 1 and (
        found[0] < 0 or int(found[0]) >= 1 << (width - 1)
    ):  # a negative number for padding
        return np.where(beyond, stored, values)
    notes.append(
        f"bits above BitsStored ({used}) are used, by an overlay perhaps; they are left out"
    )
    return values
