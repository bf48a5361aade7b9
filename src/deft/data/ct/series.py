"""The images of one DICOM series as one stack of slices: of one size, orientation and spacing, in
the order of their places.

    place = n . position,    n = row direction x column direction

What has no place among them is left out and counted (a scout of another orientation, a slice that
is there twice); what contradicts the rest is an error.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import numpy as np

from deft.data.ct.frames import Frame
from deft.errors import BadImage

_SAME_PLACE = 1e-3  # mm
_SQUARE, _NEARLY_SQUARE = 1.01, 1.25  # ratios of the two spacings: no word, a warning, an error
_AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)

Note = Callable[[str], None]
LeaveOut = Callable[[Path, str], None]


def one_geometry(frames: list[Frame], leave_out: LeaveOut) -> list[Frame]:
    """The frames of the series' one geometry; single images of another orientation are left out, as
    scouts. Raises BadImage for a mixture.
    """
    groups: list[list[Frame]] = []
    for frame in frames:
        group = next((group for group in groups if _alike(group[0], frame)), None)
        if group is None:
            groups.append([frame])
        else:
            group.append(frame)
    groups.sort(key=len, reverse=True)
    main, others = groups[0], groups[1:]
    for other in others:
        if len(main) < 2 or len(other) > 1 or not _turned(main[0], other[0]):
            _mixture(main, other)
    for other in others:
        leave_out(other[0].file, "scout (one image of another orientation)")
    return main


def _alike(a: Frame, b: Frame) -> bool:
    return (
        a.shape == b.shape
        and _close(a.orientation, b.orientation, 0.02)
        and _close(a.spacing, b.spacing, 1e-3)
    )


def _close(a: tuple[float, ...] | None, b: tuple[float, ...] | None, tolerance: float) -> bool:
    if a is None or b is None:
        return a is b
    return all(abs(x - y) <= tolerance for x, y in zip(a, b))


def _turned(a: Frame, b: Frame) -> bool:
    """Whether two images have orientations that differ by more than 20 degrees."""
    return (
        a.orientation is not None
        and b.orientation is not None
        and abs(float(_normal(a) @ _normal(b))) < math.cos(math.radians(20))
    )


def _mixture(main: list[Frame], other: list[Frame]) -> NoReturn:
    a, b = main[0], other[0]
    counts = f"{len(main)} such as {a.label} and {len(other)} such as {b.label}"
    if a.shape != b.shape:
        raise BadImage(
            f"mixed slice sizes in the series {a.series} of patient {a.patient}: {a.label} is "
            f"{a.shape[0]} x {a.shape[1]} and {b.label} "
            f"{b.shape[0]} x {b.shape[1]}; a scout image, perhaps, which belongs elsewhere."
        )
    name = "orientation" if not _close(a.orientation, b.orientation, 0.02) else "pixel spacing"
    values = (a.orientation, b.orientation) if name == "orientation" else (a.spacing, b.spacing)
    raise BadImage(
        f"the series {a.series} of patient {a.patient} has more than one {name}",
        given=f"{_said(values[0])} and {_said(values[1])} ({counts})",
        expected=f"one {name} for all slices of a series",
        advice="give each a folder of its own, and read one",
    )


def _said(values: tuple[float, ...] | None) -> str:
    return "none" if values is None else f"({', '.join(f'{v:g}' for v in values)})"


def check_square(frame: Frame, note: Note) -> None:
    """Raise BadImage for pixels that are not square, which a prior of square ones does not know;
    say it where they nearly are.
    """
    if frame.spacing is None:
        return
    rows, columns = frame.spacing
    ratio = max(rows, columns) / min(rows, columns)
    if ratio > _NEARLY_SQUARE:
        raise BadImage(
            f"the pixels of series {frame.series} are not square",
            given=f"PixelSpacing {rows:g} x {columns:g} mm",
            expected="the same spacing between rows and columns",
            advice="resample the series to square pixels, and give it as DICOM or as an npy file "
            "in Hounsfield units",
        )
    if ratio > _SQUARE:
        note(
            f"pixels of {rows:g} x {columns:g} mm are not quite square; they are read as if they "
            "were"
        )


def in_order(frames: list[Frame], note: Note) -> list[Frame]:
    """The frames by their places along the normal, or, where none has a place, by their numbers.
    Raises BadImage where neither orders them.
    """
    placed = [frame for frame in frames if frame.position is not None]
    if len(placed) == len(frames):
        if len(frames) > 1 and frames[0].orientation is None:
            note("without ImageOrientationPatient, slices are taken as axial")
        return sorted(
            frames,
            key=lambda one: (
                place(one),
                -math.inf if one.number is None else one.number,
                one.file.name,
                one.index,
            ),
        )
    if placed:
        lost = next(frame for frame in frames if frame.position is None)
        raise BadImage(
            f"{lost.file} has no ImagePositionPatient",
            given=f"{len(placed)} slices with a position and {len(frames) - len(placed)} without",
            expected="a position for every slice of a series, or for none",
            advice="without it their order is not known; export the series again, or leave those "
            "files out",
        )
    if len(frames) == 1:
        return frames
    unnumbered = next((frame for frame in frames if frame.number is None), None)
    if unnumbered is not None:
        raise BadImage(
            f"{unnumbered.file} has neither ImagePositionPatient nor InstanceNumber",
            expected="one of both, so that slices have an order",
            advice="export the series again, or give one npy file in Hounsfield units",
        )
    note("no slice has an ImagePositionPatient; they are in the order of InstanceNumber")
    return sorted(frames, key=lambda one: (one.number or 0.0, one.file.name))


def _normal(frame: Frame) -> np.ndarray:
    axes = np.asarray(frame.orientation or _AXIAL, float)
    normal = np.cross(axes[:3], axes[3:])
    result: np.ndarray = normal / np.linalg.norm(normal)
    return result


def place(frame: Frame) -> float:
    """Where a slice is along the normal, in mm; its number where it has no position."""
    if frame.position is None:
        return frame.number or 0.0
    return float(_normal(frame) @ np.asarray(frame.position))


def without_repeats(
    frames: list[Frame], hu: list[np.ndarray], leave_out: LeaveOut
) -> tuple[list[Frame], list[np.ndarray]]:
    """Ordered frames without those that are there twice. Raises BadImage for different slices at
    one place.
    """
    kept: list[int] = []
    for i, frame in enumerate(frames):
        at = (
            [k for k in kept if abs(place(frames[k]) - place(frame)) < _SAME_PLACE]
            if len(frames) > 1
            else []
        )
        if any(_same(frames[k], frame) and np.array_equal(hu[k], hu[i]) for k in at):
            leave_out(frame.file, "repeated slice")
            continue
        if at:
            other = frames[at[0]]
            raise BadImage(
                f"two different slices of the series {frame.series} are at the same place",
                given=f"{other.label} and {frame.label} at "
                f"{place(frame):g}{' mm' if frame.position else ''}",
                expected="one slice for each place",
                advice="phases, energies or repetitions of a scan, perhaps; give each a folder of "
                "its own, and read one",
            )
        kept.append(i)
    return [frames[i] for i in kept], [hu[i] for i in kept]


def _same(a: Frame, b: Frame) -> bool:
    return _close(a.position, b.position, _SAME_PLACE)


def say_geometry(frames: list[Frame], note: Note) -> None:
    """What a reader of ordered slices should know: gaps between them, a tilted gantry, other planes
    than the axial one.
    """
    normal = _normal(frames[0])
    axis = int(np.argmax(np.abs(normal)))
    if frames[0].orientation is not None:
        plane = ("sagittal", "coronal", "axial")[axis]
        angle = math.degrees(math.acos(min(1.0, float(abs(normal[axis])))))
        if plane != "axial":
            note(f"slices are {plane}, not axial")
        elif frames[0].orientation[0] < 0 or frames[0].orientation[4] < 0:
            note(
                "slices are turned or mirrored: rows or columns run against the usual direction "
                "(patient's right to left, front to back)"
            )
        if angle > 1:
            note(f"slices are oblique by {angle:.1f} degrees, as with a tilted gantry")
    if abs(frames[0].tilt) > 1:
        note(f"the gantry was tilted by {frames[0].tilt:g} degrees")
    if len(frames) < 3 or frames[0].position is None:
        return
    steps = np.diff([place(frame) for frame in frames])
    usual = float(np.median(steps))
    if steps.max() > 1.1 * usual + _SAME_PLACE or steps.min() < 0.9 * usual - _SAME_PLACE:
        wide = int((steps > 1.5 * usual).sum())
        gaps = (
            f", with {wide} gap{'s' if wide > 1 else ''} where slices may be missing"
            if wide
            else ""
        )
        note(
            f"slices are unevenly spaced, {steps.min():.3g} to {steps.max():.3g} mm (usually "
            f"{usual:.3g}){gaps}"
        )
