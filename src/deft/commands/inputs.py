"""What a command line names, read: images, measurements, masks;"""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Subset

from deft.data import ImageFolder, Slices, convert_range, open_images, read_array
from deft.data.arrays import INTEGERS
from deft.data.ct import window as window_range
from deft.data.images import SUFFIXES
from deft.errors import BadImage, InvalidInput
from deft.likelihoods import Observation
from deft.noise import Noise
from deft.operators.base import ForwardOperator
from deft.operators.inpainting import Inpainting
from deft.priors.base import Prior
from deft.problems import Problem

Convert = Literal["rgb", "grey"]
Fit = Literal["resize", "crop"]
Range = tuple[float, float]
Window = Range | str
_MOST_BYTES = 1 << 31  # of images that are held in memory

IMAGE_HELP = {
    "window": "what the prior's range means in Hounsfield units, for CT slices (DICOM, LoDoPaB-CT, npy): a range or a name such as chest; default: the problem's",
    "convert": "turn images to 'rgb' or 'grey'; never done unasked",
    "fit": "'resize' (scale, then cut the middle out) or 'crop' (cut without scaling); never done unasked",
    "value_range": "the range of the floating-point values in npy or npz files, such as [0,1]; they are mapped to the prior's",
    "strict": "stop at an image that cannot be read, instead of skipping it",
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
) -> Dataset:
    """The images at a path in the prior's range. Raises InvalidInput where CT slices are given with another window than the problem's."""
    own = None if problem is None else problem.window
    if window is not None and own is not None and window_range(window) != tuple(own):
        raise InvalidInput(
            f"--window is {list(window_range(window))} and that of the problem {list(own)}; what the prior's range means must be the same for both."
        )
    return open_images(
        path,
        prior.event_shape,
        prior.value_range or (-1.0, 1.0),
        convert=convert,
        fit=fit,
        strict=strict,
        values=value_range,
        window=window,
        default_window=own,
    )


def images(data: Dataset, limit: int | None = None) -> tuple[Tensor, list[str]]:
    """The first few of the images that were opened, (n, *event_shape), and a name for each."""
    count = len(data) if limit is None else min(limit, len(data))  # type: ignore[arg-type]
    if isinstance(data, ImageFolder):
        names = _names(data.files, data.folder)[:count]
    else:
        names = [f"{i:05d}" for i in range(count)]
    return torch.stack([data[i] for i in range(count)]), names


def parted(data: Dataset, share: float, seed: int) -> tuple[Dataset | Tensor, Dataset | Tensor | None]:
    """Images to train on, and about this share of them to validate with: the last ones, or of CT slices those of some patients, who are not in both."""
    if not 0 <= share < 1:
        raise InvalidInput(f"validation_share is a share of the images, in [0, 1); got {share}.")
    if isinstance(data, Slices) and data.patients is not None and len(set(data.patients)) > 1 and share > 0:
        train, held_out = data.split((1 - share, share), seed)
        return in_memory(train), in_memory(held_out)
    whole = in_memory(data)
    count = max(1, int(len(whole) * share)) if share else 0  # type: ignore[arg-type]
    if not count:
        return whole, None
    if count == len(whole):  # type: ignore[arg-type]
        raise InvalidInput("of one image none can be held out to validate with; give more, or --validation_share 0.")
    if isinstance(whole, Tensor):
        return whole[:-count], whole[-count:]
    return Subset(whole, range(len(whole) - count)), Subset(whole, range(len(whole) - count, len(whole)))  # type: ignore[arg-type]


def in_memory(data: Dataset) -> Dataset | Tensor:
    """All images as one tensor, where they are less than 2 GiB."""
    count = len(data)  # type: ignore[arg-type]
    if count * 4 * math.prod(data[0].shape) > _MOST_BYTES:
        return data
    return torch.stack([data[i] for i in range(count)])


def observation(
    path: Path,
    prior: Prior,
    problem: Problem,
    *,
    masks: Path | None,
    sigma_y: float | None,
    convert: Convert | None,
    value_range: Range | None,
    strict: bool,
) -> tuple[Observation, list[str]]:
    """Measurements from files: an npy or npz file (n, ...), or a folder of npy files or images, one for each; masks by the same names."""
    rows, names = _measurements(path, prior, convert, value_range, strict)
    like = torch.zeros(len(rows), *prior.event_shape)
    operator: ForwardOperator = Inpainting(_masks(masks, names, prior)) if masks is not None else _fixed(problem, like)
    expected = tuple(operator(like).shape[1:])
    for name, row in zip(names, rows):
        if tuple(row.shape) != expected:
            raise InvalidInput(f"the measurement {name} has shape {tuple(row.shape)}; this problem measures {expected}.")
    level = problem.sigma_y if sigma_y is None else sigma_y
    if isinstance(level, tuple):
        raise InvalidInput(
            f"the problem draws sigma_y between {level[0]:g} and {level[1]:g}; say that of these measurements with --sigma_y."
        )
    y = operator.observed(torch.stack(rows))
    for name, each in zip(names, y):
        if not bool(each.isfinite().all()):
            raise InvalidInput(f"the measurement {name} holds NaN or infinite values; mend it, or take it away.")
    likelihood = problem.likelihood(operator, y, sigma_y)
    if value_range is None:
        _check_range(y, operator, prior, level)
    return Observation(y, likelihood), names


def _measurements(
    path: Path, prior: Prior, convert: Convert | None, value_range: Range | None, strict: bool
) -> tuple[list[Tensor], list[str]]:
    if path.suffix in (".npy", ".npz"):
        array = read_array(path)
        return [_in_range(row, prior, value_range) for row in array], [f"{i:05d}" for i in range(len(array))]
    if not path.is_dir():
        raise BadImage(f"{path} is neither a folder nor an npy or npz file.")
    files = sorted(f for f in path.iterdir() if f.suffix.lower() in (".npy", ".npz", *SUFFIXES) and not f.name.startswith("."))
    if not files:
        raise BadImage(f"{path} holds no measurements (.npy, .npz, {', '.join(SUFFIXES)}).")
    found, skipped = {}, []
    for file in files:
        try:
            found[file] = read_array(file) if file.suffix in (".npy", ".npz") else _decoded(file)
        except BadImage as error:
            if strict or len(files) == 1:
                raise
            skipped.append(str(error))
    if not found:
        raise BadImage(f"none of the {len(files)} measurements in {path} can be read; the first: {skipped[0]}")
    if skipped:
        warnings.warn(f"skipped {len(skipped)} of {len(files)} measurements that cannot be read: {' '.join(skipped[:5])}", stacklevel=2)
    rows = [
        _in_range(content if isinstance(content, np.ndarray) else _pixels(file, content, prior, convert), prior, value_range)
        for file, content in found.items()
    ]
    return rows, _names(list(found), path)


def _decoded(file: Path):  # type: ignore[no-untyped-def]
    from PIL import Image

    try:
        with Image.open(file) as image:
            image.load()
            return image
    except Exception as error:  # decoders raise many kinds
        raise BadImage(f"{file} is truncated or no image ({error}).") from error


def _pixels(file: Path, image, prior: Prior, convert: Convert | None) -> np.ndarray:  # type: ignore[no-untyped-def]
    """(channels, height, width), 0..255, with as many channels as the prior's signals."""
    wanted = {1: "grey", 3: "rgb"}.get(prior.event_shape[0])
    given = {"1": "grey", "L": "grey", "P": "rgb", "RGB": "rgb"}.get(image.mode)
    if wanted is None or wanted not in (given, convert) or image.mode.startswith(("I", "F")):
        offer = f"--convert {wanted}, or " if wanted is not None and given is not None else ""
        raise BadImage(
            f"{file} is an image of mode {image.mode}, and the prior's signals have {prior.event_shape[0]} channels; use {offer}an npy file."
        )
    pixels = np.asarray(image.convert("L" if wanted == "grey" else "RGB"))
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def _in_range(array: np.ndarray, prior: Prior, value_range: Range | None) -> Tensor:
    """A measurement in the prior's range: whole numbers run over their type, floating-point ones over `value_range`, if that is given."""
    kind = array.dtype.name
    if kind not in INTEGERS and not np.issubdtype(array.dtype, np.floating):
        raise InvalidInput(f"a measurement holds floating-point, uint8 or uint16 values; got {kind}.")
    given = INTEGERS.get(kind, value_range)
    y = torch.from_numpy(np.array(array, dtype=np.float32))
    return y if given is None else convert_range(y, given, prior.value_range or (-1.0, 1.0))


def _check_range(y: Tensor, operator: ForwardOperator, prior: Prior, sigma_y: float) -> None:
    """Raise where measurements are visibly not in the prior's range, if the operator keeps it, as averages and masks do."""
    if prior.value_range is None:
        return
    low, high = prior.value_range
    for end in (low, high):
        seen = operator(torch.full((len(y), *prior.event_shape), end))
        if not torch.allclose(seen, operator.observed(torch.full_like(seen, end)), atol=1e-3):
            return
    least, most, slack = float(y.min()), float(y.max()), 0.25 * (high - low) + 6 * sigma_y
    if least < low - slack or most > high + slack or (low < 0 <= least and len(y) > 1):
        theirs = "[0,1]" if most <= 1 + slack else "[0,255]"
        raise InvalidInput(
            f"the measurements have values in [{least:g}, {most:g}] and {prior.name} takes [{low:g}, {high:g}]; say their range: --value_range {theirs} "
            f"converts them, --value_range [{low:g},{high:g}] takes them as they are."
        )


def _names(files: Sequence[Path], folder: Path) -> list[str]:
    """What results of a file are called: its name without the suffix, or with it where two files would be the same."""
    short = [file.relative_to(folder).with_suffix("").as_posix().replace("/", "-") for file in files]
    long = [file.relative_to(folder).as_posix().replace("/", "-").replace(".", "-") for file in files]
    count = Counter(short)
    names = [a if count[a] == 1 else b for a, b in zip(short, long)]
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise InvalidInput(f"results of several files in {folder} would be called {twice[0]}; rename one of them.")
    return names


def _masks(folder: Path, names: list[str], prior: Prior) -> Tensor:
    """White where observed: the file of the same name for each measurement, or one file for all."""
    from PIL import Image

    found = []
    for name in names:
        file = folder if folder.is_file() else folder / f"{name}.png"
        try:
            with Image.open(file) as image:
                found.append(torch.from_numpy(np.array(image.convert("L")) >= 128).float()[None])
        except FileNotFoundError as error:
            raise BadImage(
                f"there is no mask {file} for the measurement {name}; masks are PNG files with the names of the measurements."
            ) from error
        except OSError as error:
            raise BadImage(f"{file} is truncated or no image ({error}).") from error
        if tuple(found[-1].shape[1:]) != tuple(prior.event_shape[1:]):
            raise InvalidInput(
                f"the mask {file} has the size {tuple(found[-1].shape[1:])}, the signal {tuple(prior.event_shape[1:])}; they must be equal."
            )
    return torch.stack(found)


def _fixed(problem: Problem, like: Tensor) -> ForwardOperator:
    """The operator of a problem that has only one. Raises where it is drawn at random."""
    probe = Noise(range(1)).normal(0, like.shape[1:])
    first, second = (problem.operator(probe, Noise([seed])) for seed in (1, 2))
    a, b = first(probe), second(probe)
    if a.shape != b.shape or not bool(torch.equal(a, b)):
        raise InvalidInput(
            f"{type(problem).__name__} draws its operator at random, so that a measurement from a file needs to say its own: give --masks for inpainting, "
            "or a deft.problems.Fixed in Python."
        )
    return problem.operator(like, Noise(range(len(like))))
