"""What a command line names, read: images, measurements, masks; and where results go."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from deft.data import ImageFolder, open_images, read_array
from deft.data.images import SUFFIXES
from deft.errors import BadImage, InvalidInput
from deft.likelihoods import GaussianLikelihood, Observation
from deft.noise import Noise
from deft.operators.base import ForwardOperator
from deft.operators.inpainting import Inpainting
from deft.priors.base import Prior
from deft.problems import Problem
from deft.training.files import atomic

Convert = Literal["rgb", "grey"]
Fit = Literal["resize", "crop"]
Range = tuple[float, float]

IMAGE_HELP = {
    "convert": "turn images to 'rgb' or 'grey'; never done unasked",
    "fit": "'resize' (scale, then cut the middle out) or 'crop' (cut without scaling); never done unasked",
    "value_range": "the range of the floating-point values in an npy or npz file, such as [0,1]; they are mapped to the prior's",
    "strict": "stop at an image that cannot be read, instead of skipping it",
}


def images(
    path: Path, prior: Prior, *, convert: Convert | None, fit: Fit | None, value_range: Range | None, strict: bool, limit: int | None = None
) -> tuple[Tensor, list[str]]:
    """The images at a path in the prior's range, (n, *event_shape), and a name for each."""
    data = open_images(
        path, prior.event_shape, prior.value_range or (-1.0, 1.0), convert=convert, fit=fit, strict=strict, values=value_range
    )
    count = len(data) if limit is None else min(limit, len(data))  # type: ignore[arg-type]
    if isinstance(data, ImageFolder):
        names = [file.relative_to(data.folder).with_suffix("").as_posix().replace("/", "-") for file in data.files[:count]]
    else:
        names = [f"{i:05d}" for i in range(count)]
    return torch.stack([data[i] for i in range(count)]), names


def observation(
    folder: Path, prior: Prior, problem: Problem, *, masks: Path | None, sigma_y: float | None, value_range: Range | None
) -> tuple[Observation, list[str]]:
    """Measurements from files: an npy or npz file (n, ...), or a folder of npy files or images, one for each; masks by the same names."""
    rows, names = _measurements(folder, prior, value_range)
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
    y = torch.stack(rows)
    return Observation(operator.observed(y), GaussianLikelihood(operator, level)), names


def _measurements(path: Path, prior: Prior, value_range: Range | None) -> tuple[list[Tensor], list[str]]:
    if path.suffix in (".npy", ".npz"):
        array = np.asarray(read_array(path), dtype=np.float32)
        return list(torch.from_numpy(np.array(array))), [f"{i:05d}" for i in range(len(array))]
    if not path.is_dir():
        raise BadImage(f"{path} is neither a folder nor an npy or npz file.")
    files = sorted(f for f in path.iterdir() if f.suffix.lower() in (".npy", ".npz", *SUFFIXES) and not f.name.startswith("."))
    if not files:
        raise BadImage(f"{path} holds no measurements (.npy, .npz, {', '.join(SUFFIXES)}).")
    return [_measurement(file, prior, value_range) for file in files], [file.stem for file in files]


def _measurement(file: Path, prior: Prior, value_range: Range | None) -> Tensor:
    if file.suffix in (".npy", ".npz"):
        return torch.from_numpy(np.array(read_array(file), dtype=np.float32))
    from PIL import Image

    try:
        with Image.open(file) as image:
            pixels = np.array(image.convert("L" if prior.event_shape[0] == 1 else "RGB"), dtype=np.float32)
    except Exception as error:  # decoders raise many kinds
        raise BadImage(f"{file} is truncated or no image ({error}).") from error
    low, high = value_range or prior.value_range or (-1.0, 1.0)
    y = torch.from_numpy(pixels) / 255 * (high - low) + low
    return y[None] if y.ndim == 2 else y.permute(2, 0, 1)


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


def claim(out: Path, resolved: str, what: str, free: tuple[str, ...] = ()) -> None:
    """Save the resolved YAML as `config.yaml`. Raises where the folder holds results of another configuration; `free` keys may differ."""
    import yaml

    path = out / "config.yaml"
    if path.exists():
        old, new = yaml.safe_load(path.read_text()) or {}, yaml.safe_load(resolved) or {}
        changed = [
            f"{key}: {old.get(key)} before, {new.get(key)} now"
            for key in {**old, **new}
            if key not in free and old.get(key) != new.get(key)
        ]
        if changed:
            raise InvalidInput(f"{out} holds {what} of another configuration: {'; '.join(changed)}. Use another --out, or delete this one.")
    with atomic(path) as file:
        file.write(resolved.encode())
