"""The images that a command line names, read.

An output folder among the images, and an option without use, are refused here too.
"""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils.data import Dataset, Subset

from deft.data import open_images
from deft.data.ct import window as window_range
from deft.errors import InvalidInput
from deft.priors.backbone import BackbonePrior
from deft.priors.base import Prior
from deft.problems import Problem

Convert = Literal["rgb", "grey"]
Fit = Literal["resize", "crop"]
Range = tuple[float, float]
Window = Range | str
_MOST_BYTES = 1 << 31  # of images that are held in memory

IMAGE_HELP = {
    "window": "what the prior's range means in Hounsfield units, for CT slices (DICOM, "
    "LoDoPaB-CT, npy): a range or a name such as chest; default: the problem's",
    "convert": "turn images to 'rgb' or 'grey'; never done unasked",
    "fit": "'resize' (scale, then cut the middle out) or 'crop' (cut without scaling); never done "
    "unasked",
    "value_range": "the range of the floating-point values in npy or npz files, such as [0,1]; "
    "they are mapped to the prior's",
    "strict": "stop at an image that cannot be read, or a file that is no CT slice, instead of "
    "skipping it",
    "key": "which array of an npz file that holds several",
    "series": "which series of a DICOM folder that holds several: its UID, description or number, "
    "or all",
    "slice": "which slices of NIfTI volumes (a .nii or .nii.gz file, or a folder of them): "
    "AXIS:NUMBER, such as axial:40, AXIS:FIRST-LAST, or AXIS for all",
}


def opened(
    path: Path,
    prior: Prior,
    *,
    convert: Convert | None,
    fit: Fit | None,
    value_range: Range | None,
    strict: bool,
    window: Window | None = None,
    problem: Problem | None = None,
    key: str | None = None,
    series: str | None = None,
    slice: str | None = None,
) -> Dataset[Any]:
    """The images at a path in the prior's range. Raises InvalidInput where CT slices are given with
    another window than the problem's, and for a prior of protein backbones.
    """
    no_chains(prior)
    own = None if problem is None else problem.window
    if window is not None and own is not None and window_range(window) != tuple(own):
        raise InvalidInput(
            f"--window is {list(window_range(window))} and that of the problem {list(own)}; what "
            "the prior's range means must be the same for both."
        )
    found = open_images(
        path,
        prior.signal_shape,
        prior.value_range or (-1.0, 1.0),
        convert=convert,
        fit=fit,
        strict=strict,
        values=value_range,
        window=window,
        default_window=own,
        key=key,
        series=series,
        slice=slice,
    )
    for name in getattr(found, "idle", []):
        warnings.warn(
            f"--{name} had nothing to do: every image in {path} is as the prior takes it.",
            stacklevel=2,
        )
    return found


def no_chains(prior: Prior) -> None:
    """Raises InvalidInput for a prior of protein backbones, which images say nothing about."""
    if isinstance(prior, BackbonePrior):
        raise InvalidInput(
            "the prior",
            given=f"{prior.name}, of protein backbones",
            expected="one of images: this command reads pictures, arrays or CT slices",
            advice="designs are drawn by deft scaffold; deft train and deft adapt learn from "
            "chains (--problem MotifScaffolding)",
        )


def images(data: Dataset[Any], limit: int | None = None) -> tuple[Tensor, list[str]]:
    """The first few of the images that were opened, (n, *signal_shape), and a name for each."""
    count = len(data) if limit is None else min(limit, len(data))  # type: ignore[arg-type]
    files = getattr(data, "files", None)
    own = getattr(data, "names", [])
    if len(own) > 1:
        names = own[:count]
    elif files is not None:
        names = image_names(files, data.folder)[:count]  # type: ignore[attr-defined]
    else:
        names = [f"{i:05d}" for i in range(count)]
    return torch.stack([data[i] for i in range(count)]), names


def parted(
    data: Dataset[Any], share: float, seed: int
) -> tuple[Dataset[Any] | Tensor, Dataset[Any] | Tensor | None]:
    """Images to train on, and about this share of them to validate with: the last ones, or of CT
    slices those of some patients, who are not in both.
    """
    if not 0 <= share < 1:
        raise InvalidInput(f"validation_share is a share of the images, in [0, 1); got {share}.")
    patients = getattr(data, "patients", None)
    if patients is not None and len(set(patients)) > 1 and share > 0:
        train, held_out = data.split((1 - share, share), seed)  # type: ignore[attr-defined]
        return in_memory(train), in_memory(held_out)
    whole = in_memory(data)
    count = max(1, int(len(whole) * share)) if share else 0  # type: ignore[arg-type]
    if not count:
        return whole, None
    if count == len(whole):  # type: ignore[arg-type]
        raise InvalidInput(
            "of one image none can be held out to validate with; give more, or --validation_share "
            "0."
        )
    if isinstance(whole, Tensor):
        return whole[:-count], whole[-count:]
    total = len(whole)  # type: ignore[arg-type]
    return Subset(whole, range(total - count)), Subset(whole, range(total - count, total))


def in_memory(data: Dataset[Any]) -> Dataset[Any] | Tensor:
    """All images as one tensor, where they are less than 2 GiB."""
    count = len(data)  # type: ignore[arg-type]
    if count * 4 * math.prod(data[0].shape) > _MOST_BYTES:
        return data
    return torch.stack([data[i] for i in range(count)])


def apart(out: Path, images: Path | None) -> None:
    """Raise where results cannot be written, or would be among the images that are read: a second
    run would take them for images.
    """
    file = next(
        (place for place in (out, *out.parents) if place.exists() and not place.is_dir()), None
    )
    if file is not None:
        raise InvalidInput(
            "--out",
            given=f"{out}, where {file} is a file" if file != out else f"{out}, a file",
            expected="a folder, or nothing yet",
        )
    if (
        images is not None
        and images.is_dir()
        and images.resolve() in (out.resolve(), *out.resolve().parents)
    ):
        raise InvalidInput(
            "--out",
            given=str(out),
            expected=f"a folder outside of {images}, whose files are read",
            advice="results would be taken for images in a second run",
        )


def unused(where: str, **options: object) -> None:
    """Raise for an option that was given and has no use."""
    for name, value in options.items():
        if value is not None and value is not False:
            shown = "true" if value is True else str(value)
            raise InvalidInput(
                f"--{name}",
                given=shown,
                expected=f"nothing: it is not used {where}",
                advice=f"leave --{name} out",
            )


def image_names(files: Sequence[Path], folder: Path) -> list[str]:
    """What results of a file are called: its name without the suffix, or with it where two files
    would be the same.
    """
    short = [
        file.relative_to(folder).with_suffix("").as_posix().replace("/", "-") for file in files
    ]
    long = [
        file.relative_to(folder).as_posix().replace("/", "-").replace(".", "-") for file in files
    ]
    count = Counter(short)
    names = [a if count[a] == 1 else b for a, b in zip(short, long)]
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise InvalidInput(
            f"results of several files in {folder} would be called {twice[0]}; rename one of them."
        )
    return names
