"""DICOM by series: what a folder holds is grouped by its series first, and then read.

Foreign objects (localizers, secondary captures, segmentations, dose reports, other modalities,
other files) and damaged files are left out and counted in one warning, or fatal with `strict`; what
contradicts itself within a series is an error.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

import numpy as np

from deft.data.ct import series as geometry
from deft.data.ct.extra import extra
from deft.data.ct.files import Unreadable, files_below, has_mark, is_index, may_be_dicom
from deft.data.ct.frames import CAPTURE, Frame, frames_of, text
from deft.data.ct.pixels import read_frames
from deft.data.ct.report import OTHER, Report, nothing
from deft.data.ct.units import check_hounsfield
from deft.errors import InvalidInput, nearest_names


@final
@dataclass(frozen=True)
class Series:
    """One DICOM series: slices in HU, (n, height, width), in the order of their places along the
    patient.
    """

    hu: np.ndarray
    patient: str
    name: str
    """Its SeriesInstanceUID."""
    spacing: tuple[float, float] | None
    """Between rows and between columns, in mm."""
    description: str = ""


def read_dicom(
    folder: str | Path, *, series: str | None = None, strict: bool = False
) -> list[Series]:
    """The CT series of the DICOM files below a folder (or of one file), in the order of their
    patients and names; `series` names one of them.

        HU = RescaleSlope * value + RescaleIntercept

    A series is named by its SeriesInstanceUID, description or number. What is no CT slice is
    skipped with one warning, or fatal with `strict`. Raises BadImage, with the file, for a series
    without rescale tags or of another unit, for a volume in one file that says nothing of its
    frames, for mixed sizes, orientations and spacings, for missing places, for different slices at
    one place, for pixels that are not square, and where nothing is left.
    """
    return read_series(folder, series, strict, one_per_study=False)


def read_series(
    folder: str | Path, series: str | None, strict: bool, *, one_per_study: bool
) -> list[Series]:
    """`read_dicom`; with `one_per_study`, raises InvalidInput where a study has several series and
    none of them is named ("all" names all).
    """
    report = Report(Path(folder), strict)
    groups = _chosen(_grouped(report), series, one_per_study, report.path)
    found = [_read(group, report) for group in groups]
    whole = [one for one in found if one is not None]
    if not whole:
        raise nothing(report)
    report.warn()
    return whole


_Key = tuple[str, str, str]


def _grouped(report: Report) -> dict[_Key, list[Frame]]:
    """The slices of each series, by patient, study and series."""
    pydicom = extra("pydicom")
    frames: list[Frame] = []
    captures: list[Frame] = []
    for file in files_below(report.path):
        if is_index(file):
            continue
        report.count += 1
        try:
            header = _header(pydicom, file) if may_be_dicom(file) else None
            found = [] if header is None else frames_of(header, file)
        except Unreadable as error:
            report.damaged(file, error)
            continue
        if header is None:
            report.leave_out(file, OTHER)
            continue
        frames += [frame for frame in found if not frame.what]
        captures += [
            frame for frame in found if frame.what == CAPTURE and frame.position is not None
        ]
        for what in dict.fromkeys(
            frame.what for frame in found if frame.what and frame not in captures
        ):
            report.leave_out(file, what)
    if frames:
        for capture in captures:
            report.leave_out(capture.file, capture.what)
    else:
        frames = _exported(captures, report)
    if not frames:
        raise nothing(report)
    groups: dict[_Key, list[Frame]] = {}
    for frame in frames:
        groups.setdefault((frame.patient, frame.study, frame.series), []).append(frame)
    return dict(sorted(groups.items(), key=lambda item: (item[0][0], item[0][2], item[0][1])))


def _header(pydicom: Any, file: Path) -> Any | None:
    """The tags of a file without its pixels; None for a file that turns out to be no DICOM file.
    Raises Unreadable for a damaged one.
    """
    sure = file.suffix.lower() in (".dcm", ".ima", ".dicom") or has_mark(file)
    try:
        header = pydicom.dcmread(file, stop_before_pixels=True, force=not has_mark(file))
        known = any(text(header, tag) for tag in ("SOPClassUID", "Modality", "Rows"))
    except Exception as error:  # of many kinds
        header, known, said = None, False, f" ({' '.join(str(error).split())[:200]})"
    else:
        said = ""
    if known:
        return header
    if sure:
        raise Unreadable(f"{file} is truncated or no DICOM file{said}.")
    return None


def _exported(captures: list[Frame], report: Report) -> list[Frame]:
    """Secondary captures as slices: where there is nothing else, some program exported them so."""
    for name in sorted({frame.series for frame in captures}):
        report.note(name)("secondary captures with places and rescale tags are read as slices")
    return [replace(frame, what="") for frame in captures]


def _chosen(
    groups: dict[_Key, list[Frame]], series: str | None, one_per_study: bool, path: Path
) -> list[list[Frame]]:
    """The series that are asked for. Raises InvalidInput for an unknown name, and for a study of
    several such series where one is to be named.
    """
    if series == "all":
        return list(groups.values())
    found = groups if series is None else _named(groups, str(series), path)
    studies = Counter(key[:2] for key in found)
    patient, study = studies.most_common(1)[0][0]
    several = {key: frames for key, frames in found.items() if key[:2] == (patient, study)}
    if one_per_study and len(several) > 1:
        raise InvalidInput(
            f"{path} holds several series of one study (patient {patient})",
            given=f"{len(several)} series",
            expected=f"one of these for each study: {_listed(several)}",
            advice=f"name it with series={next(iter(several))[2]!r}, take each with series='all', "
            "or move the others elsewhere",
        )
    return list(found.values())


def _named(groups: dict[_Key, list[Frame]], name: str, path: Path) -> dict[_Key, list[Frame]]:
    """The series of this UID, else of this description, else of this number. Raises InvalidInput
    where there is none.
    """
    for attribute in ("series", "description", "series_number"):
        found = {
            key: frames
            for key, frames in groups.items()
            if str(getattr(frames[0], attribute)).lower() == name.strip().lower()
        }
        if found and name.strip():
            return found
    known = [
        known
        for frames in groups.values()
        for known in (frames[0].series, frames[0].description)
        if known
    ]
    raise InvalidInput(
        "unknown series",
        given=name,
        expected=f"one of those in {path}: {_listed(groups)}",
        advice=f"use its UID or description{nearest_names(name, known).rstrip('?')}",
    )


def _listed(groups: dict[_Key, list[Frame]]) -> str:
    def about(first: Frame, count: int) -> str:
        facts = [first.description, f"{count} slices", "{} x {}".format(*first.shape)]
        return f"{first.series} ({', '.join(filter(None, facts))})"

    lines = [about(frames[0], len(frames)) for frames in groups.values()]
    return "; ".join(lines[:10]) + (f"; and {len(lines) - 10} more" if len(lines) > 10 else "")


def _read(frames: list[Frame], report: Report) -> Series | None:
    """One series; None where every file of it is damaged."""
    first = frames[0]
    wrong = next((frame.error for frame in frames if frame.error is not None), None)
    if wrong is not None:
        raise wrong
    note = report.note(first.series)
    if not all(frame.identified for frame in frames):
        note("no PatientID says whose the slices are; the folder's name stands for it")
    frames = geometry.one_geometry(frames, report.leave_out)
    geometry.check_square(frames[0], note)
    frames = geometry.in_order(frames, note)
    frames, hu, extremes = _pixels(frames, report, note)
    if not frames:
        return None
    low, high = (min(least for least, _ in extremes), max(most for _, most in extremes))
    check_hounsfield(low, high, f"the slices of series {first.series} in {report.path}")
    frames, hu = geometry.without_repeats(frames, hu, report.leave_out)
    geometry.say_geometry(frames, note)
    return Series(np.stack(hu), first.patient, first.series, frames[0].spacing, first.description)


def _pixels(
    frames: list[Frame], report: Report, note: Callable[[str], None]
) -> tuple[list[Frame], list[np.ndarray], list[tuple[float, float]]]:
    """The frames whose pixels can be read, their HU, and the extremes of what is not padding."""
    wanted: dict[Path, list[int]] = {}
    for frame in frames:
        wanted.setdefault(frame.file, []).append(frame.index)
    read: dict[tuple[Path, int], tuple[np.ndarray, float, float]] = {}
    for file, indices in wanted.items():
        notes: list[str] = []
        try:
            read |= {(file, i): one for i, one in read_frames(file, indices, notes).items()}
        except Unreadable as error:
            report.damaged(file, error)
        for what in dict.fromkeys(notes):
            note(what)
    frames = [frame for frame in frames if (frame.file, frame.index) in read]
    found = [read[frame.file, frame.index] for frame in frames]
    return frames, [hu for hu, _, _ in found], [(low, high) for _, low, high in found]
