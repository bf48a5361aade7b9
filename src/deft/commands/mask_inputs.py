"""Masks that stand beside measurements, one for each."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from torch import Tensor

from deft.commands.inputs import image_names
from deft.errors import BadImage, InvalidInput
from deft.likelihoods import Observation
from deft.priors.base import Prior
from deft.problems import Problem
from deft.storage import mask_files, pictures


def mask_file(place: Path, name: str) -> Path:
    """The mask of one measurement: the file of its name in a folder, or the one file for all."""
    if not place.is_dir():
        return place
    every = pictures.found(place, "masks", mask_files.MASKS)
    by_name = dict(zip(image_names(every, place), every, strict=True))
    if name not in by_name:
        raise BadImage(
            f"--masks {place}: there is no mask for the measurement {name}",
            given=", ".join(list(by_name)[:5]),
            expected="a picture with the name of each measurement, or one file for all",
        )
    return by_name[name]


def mask_stack(
    place: Path, names: list[str], prior: Prior, invert: bool, lines: bool = False
) -> Tensor:
    """One where observed: the file of the same name for each measurement, or one file for all; of
    frequencies also `lines`, an array (width,) of columns.
    """
    if not place.exists():
        raise BadImage(f"--masks {place}: there is no such file or folder.")
    if place.is_file():
        files = [place] * len(names)
    else:
        every = pictures.found(place, "masks", mask_files.MASKS)
        by_name = dict(zip(image_names(every, place), every, strict=True))
        missing = [name for name in names if name not in by_name]
        if missing:
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise BadImage(
                f"--masks {place}: there is no mask for the measurement {missing[0]}{more}",
                given=", ".join(list(by_name)[:5]),
                expected="a picture with the name of each measurement, or one file for all",
            )
        left = [name for name in by_name if name not in names]
        if left:
            warnings.warn(
                f"{len(left)} masks in {place} belong to no measurement: {', '.join(left[:5])}.",
                stacklevel=3,
            )
        files = [by_name[name] for name in names]
    rows = prior.signal_shape[1] if lines else None
    read = {
        file: torch.from_numpy(mask_files.mask(file, invert, rows))[None]
        for file in dict.fromkeys(files)
    }
    for file, mask in read.items():
        if tuple(mask.shape[1:]) != tuple(prior.signal_shape[1:]):
            raise InvalidInput(
                f"the mask {file}",
                given=f"{mask.shape[1]} x {mask.shape[2]} (height x width)",
                expected=" x ".join(map(str, prior.signal_shape[1:])) + ", the size of the signal",
                advice="resize it without smoothing (nearest neighbour)",
            )
    return torch.stack([read[file] for file in files])


def seen(observed: Observation, masks: Path | None, problem: Problem, prior: Prior) -> str | None:
    """How much of each measurement a mask lets through, in words; None where nothing has to be
    said: where the operator is the problem's own.
    """
    if masks is None and problem.shared_operator(torch.zeros(1, *prior.signal_shape)) is not None:
        return None
    held = dict(observed.operator.named_buffers())
    mask = next(value for name, value in held.items() if name.split(".")[-1] == "mask")
    share = f"{100 * float(mask.mean()):.0f} %"
    if masks is None:
        return f"measured is what is not exactly 0 in --measurements: {share} of the frequencies"
    return (
        f"observed by the masks: {share} of the places, what is white in them; --invert_masks true "
        "takes the others"
    )
