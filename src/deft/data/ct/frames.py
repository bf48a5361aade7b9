"""The images of a DICOM file as its header describes them: where they are, and whether they are
slices at all.

A file holds one image, or many frames whose places, rescaling and kinds stand in functional groups:
those of the frame first, then the shared ones.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

from deft.data.ct.files import sound
from deft.errors import BadImage

_CT = {
    "1.2.840.10008.5.1.4.1.1.2": "CT Image Storage",
    "1.2.840.10008.5.1.4.1.1.2.1": "Enhanced CT Image Storage",
    "1.2.840.10008.5.1.4.1.1.2.2": "Legacy Converted Enhanced CT Image Storage",
}
_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_SCOUT = re.compile(
    r"(\w+\s+)?(localizer|localiser|scout|topogram|surview|scanogram)\b", re.IGNORECASE
)
CAPTURE, LOCALIZER = "secondary capture", "localizer"


@final
@dataclass(frozen=True)
class Frame:
    """One image of a file."""

    file: Path
    index: int
    patient: str
    study: str
    series: str
    description: str
    series_number: str
    number: float | None
    """Its number in the series."""
    shape: tuple[int, int]
    position: tuple[float, ...] | None
    """Of the first pixel's centre, in mm."""
    orientation: tuple[float, ...] | None
    """The directions along a row and along a column."""
    spacing: tuple[float, float] | None
    tilt: float
    """Of the gantry, in degrees, as the scanner says."""
    what: str = ""
    """What it is where it is no slice: a localizer, for example."""
    identified: bool = True
    """Whether the file says whose it is."""
    error: BadImage | None = None
    """What is wrong with it, for whoever reads its series."""

    @property
    def label(self) -> str:
        """Its name in messages."""
        return self.file.name if self.index == 0 else f"{self.file.name}, frame {self.index + 1}"


def frames_of(header: Any, file: Path) -> list[Frame]:
    """The images of one file; of a foreign object one, which says what it is. Raises Unreadable for
    a damaged header.

    A volume whose frames say nothing of themselves, and places that are no numbers, are an `error`
    of the frame.
    """
    with sound(file):
        what = _what(header)
        bare = _bare(header, file, what)
        if what and not (what == CAPTURE and _is_measured(header)):
            return [bare]
        try:
            return [
                replace(_frame(bare, header, i), what=what or _frame_kind(header, i))
                for i in range(_count(header, file))
            ]
        except BadImage as error:
            return [replace(bare, error=error)]


def _bare(header: Any, file: Path, what: str) -> Frame:
    """Whose a file is, and of which series."""
    folder = file.absolute().parent
    return Frame(
        file,
        0,
        patient=text(header, "PatientID") or folder.name,
        study=text(header, "StudyInstanceUID") or str(folder),
        series=text(header, "SeriesInstanceUID") or folder.name,
        description=text(header, "SeriesDescription"),
        series_number=text(header, "SeriesNumber"),
        number=None,
        shape=(int(header.get("Rows") or 0), int(header.get("Columns") or 0)),
        position=None,
        orientation=None,
        spacing=None,
        tilt=0.0,
        what=what,
        identified=bool(text(header, "PatientID")),
    )


def _count(header: Any, file: Path) -> int:
    """The number of frames. Raises BadImage where they have no functional groups to say what they
    are.
    """
    given = numbers(header, "NumberOfFrames", file, 1)
    count = 1 if given is None else given[0]
    if count != int(count) or count < 1:
        raise BadImage(
            f"{file}: NumberOfFrames", given=count, expected="a whole number, at least 1"
        )
    every = header.get("PerFrameFunctionalGroupsSequence") or []
    if count > 1 and not every:
        raise BadImage(
            f"{file} holds a volume of {count:g} frames where slices are expected; its frames "
            "have no places and no rescaling of their own",
            advice="export it as one file per slice",
        )
    if count > 1 and len(every) != count:
        raise BadImage(
            f"{file}",
            given=f"{count:g} frames and functional groups of {len(every)}",
            expected="one functional group per frame",
        )
    return int(count)


def _frame(bare: Frame, header: Any, i: int) -> Frame:
    """Frame i, with its place. Raises BadImage for directions and lengths that are none."""
    file = bare.file
    orientation = numbers(
        part(header, i, "PlaneOrientationSequence"), "ImageOrientationPatient", file, 6
    )
    if orientation is not None and not _orthonormal(orientation):
        raise BadImage(
            f"{file}: ImageOrientationPatient",
            given=orientation,
            expected="two directions of length 1 at right angles",
        )
    spacing = numbers(part(header, i, "PixelMeasuresSequence"), "PixelSpacing", file, 2)
    if spacing is not None and not min(spacing) > 0:
        raise BadImage(f"{file}: PixelSpacing", given=spacing, expected="two lengths > 0, in mm")
    number = numbers(header, "InstanceNumber", file, 1)
    return replace(
        bare,
        index=i,
        number=None if number is None else number[0] + i,
        position=numbers(part(header, i, "PlanePositionSequence"), "ImagePositionPatient", file, 3),
        orientation=orientation,
        spacing=None if spacing is None else (spacing[0], spacing[1]),
        tilt=(numbers(header, "GantryDetectorTilt", file, 1) or (0.0,))[0],
    )


def part(header: Any, i: int, group: str) -> Any:
    """What says of frame i what `group` says: its functional group, the shared one, or, without
    such, the header itself.
    """
    every, shared = (
        header.get("PerFrameFunctionalGroupsSequence") or [],
        header.get("SharedFunctionalGroupsSequence") or [],
    )
    for item in (every[i] if i < len(every) else None, shared[0] if len(shared) else None):
        found = None if item is None else item.get(group)
        if found is not None and len(found):
            return found[0]
    return header


def _what(header: Any) -> str:
    """What an object is where it holds no CT slices; empty where it does."""
    modality, kind = text(header, "Modality") or "CT", text(header, "SOPClassUID")
    if modality != "CT":
        return f"of the modality {modality}"
    if not header.get("Rows") or not header.get("Columns"):
        return "object without an image"
    types = [str(value).upper() for value in _values(header.get("ImageType"))]
    if "LOCALIZER" in types or (
        "AXIAL" not in types and _SCOUT.match(text(header, "SeriesDescription"))
    ):
        return LOCALIZER
    if (
        text(header, "SamplesPerPixel") not in ("", "1")
        or text(header, "PhotometricInterpretation") == "PALETTE COLOR"
    ):
        return "picture in colour"
    if kind == _CAPTURE or kind.startswith(f"{_CAPTURE}."):
        return CAPTURE
    if kind.startswith("1.2.840.10008.") and kind not in _CT:
        return f"object of the class {_class_name(kind)}"
    return ""


def _frame_kind(header: Any, i: int) -> str:
    """What one frame of many is where it is no slice."""
    types = [
        str(value).upper()
        for value in _values(part(header, i, "CTImageFrameTypeSequence").get("FrameType"))
    ]
    return LOCALIZER if "LOCALIZER" in types else ""


def _class_name(kind: str) -> str:
    from pydicom.uid import UID

    return str(UID(kind).name)


def _is_measured(header: Any) -> bool:
    """Whether a secondary capture is a slice that some program exported so: grey, with a place and
    a rescaling.
    """
    return all(
        text(header, tag) for tag in ("RescaleSlope", "RescaleIntercept", "ImagePositionPatient")
    )


def text(header: Any, name: str) -> str:
    """A tag as text, empty where it is missing."""
    value = header.get(name)
    return "" if value is None else str(value).strip()


def numbers(header: Any, name: str, file: Path, count: int) -> tuple[float, ...] | None:
    """The `count` numbers of a tag, None where it is missing or empty. Raises BadImage for another
    count and for what is not finite.
    """
    try:
        value = header.get(name)
        values = _values(value)
        found = tuple(float(one) for one in values)
    except (TypeError, ValueError, ArithmeticError) as error:
        raise BadImage(f"{file}: {name}", given=str(error), expected=_expected(count)) from error
    if not values:
        return None
    if len(found) != count or not all(math.isfinite(one) for one in found):
        raise BadImage(
            f"{file}: {name}",
            given=found[0] if len(found) == 1 else found,
            expected=_expected(count),
        )
    return found


def _expected(count: int) -> str:
    return "one number" if count == 1 else f"{count} numbers"


def _values(value: Any) -> list[Any]:
    if value is None or value == "":
        return []
    return (
        [value]
        if isinstance(value, (str, int, float)) or not hasattr(value, "__iter__")
        else list(value)
    )


def _orthonormal(axes: tuple[float, ...]) -> bool:
    row, column = axes[:3], axes[3:]
    dot = sum(a * b for a, b in zip(row, column))
    return all(abs(math.hypot(*axis) - 1) < 0.02 for axis in (row, column)) and abs(dot) < 0.02
