"""What a user asks for on the page, as an observation.

painted    y = mask x + sigma_y eps      x the picture that was dropped; eps only where asked for
drawn      y = A(x) + sigma_y eps        x the picture, A and eps drawn by the problem with the seed
given      y                             what the file holds
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from deft import checks
from deft.app import painted
from deft.app.limits import Limits
from deft.app.ways import Way, ways
from deft.data.arrays import Range, convert_range, read_array
from deft.data.ct import Slices, holds_slices
from deft.data.images import open_images
from deft.errors import InvalidInput
from deft.likelihoods import GaussianLikelihood, Observation, warn_doubts
from deft.noise import Noise, mix
from deft.operators.inpainting import Inpainting
from deft.pipeline.measured import observation_of, outside
from deft.pipeline.pipeline import DeftPipeline
from deft.pipeline.read import Given, items, rows
from deft.storage import pictures

_ARRAYS = (".npy", ".npz")
VALUES = ("as the prior takes them", "0 to 1", "Hounsfield units")
SIZES = {"as it is": None, "scale to fit": "resize", "cut out the middle": "crop"}
CHANNELS = {"as they are": None, "grey": "grey", "colour": "rgb"}


@final
@dataclass(frozen=True)
class Asked:
    """One request, in the terms of the page: `way` is the label of a `Way`, `values`, `size` and
    `channels` are of the lists above, `painted` is what the page sent of the mask, `beside` a
    second file.
    """

    h: str
    file: Path | None
    way: str
    painted: object = None
    beside: Path | None = None
    sigma_y: float | None = None
    add_noise: bool = False
    values: str = VALUES[0]
    size: str = "as it is"
    channels: str = "as they are"
    samples: Any = 8
    steps: Any = 20
    seed: Any = 0


@final
@dataclass(frozen=True)
class Measured:
    """The observation of a request, with the mask that was painted, and what was warned of;
    `own_noise` and `own_operator` say what came from the user.
    """

    observation: Observation
    mask: np.ndarray[Any, Any] | None
    own_noise: bool
    own_operator: bool


def way_of(asked: Asked, pipe: DeftPipeline) -> Way:
    """The way that was chosen. Raises `InvalidInput` for one that this h-transform has not."""
    every = ways(pipe)
    for way in every:
        if way.label == asked.way:
            return way
    raise InvalidInput(
        "way", given=asked.way, expected="one of: " + "; ".join(way.label for way in every)
    )


def picture(asked: Asked, pipe: DeftPipeline, limits: Limits) -> Tensor:
    """The signal in the file, (channels, height, width), in the range of the prior. Raises
    `InvalidInput` and `BadImage` for what is none.
    """
    path = _file(asked.file, limits)
    prior, shape = pipe.prior, tuple(pipe.prior.signal_shape)
    wanted = prior.value_range or (-1.0, 1.0)
    window = pipe.problem.window
    fit, convert = _of(SIZES, "size", asked.size), _of(CHANNELS, "channels", asked.channels)
    value_range = _values(asked.values, window)
    if path.suffix.lower() in _ARRAYS and asked.values != VALUES[2]:
        _idle(fit=fit, convert=convert)
        found = items(path, shape, Given(value_range=value_range))
        x = torch.cat([rows(one, shape, prior) for one in found])
        own = found[0].range
        x = x if own is None else convert_range(x, own, wanted)
        outside_of(x, pipe, doubtful=own is None)
    elif path.suffix.lower() in _ARRAYS:
        _idle(convert=convert)
        hu = np.squeeze(np.asarray(read_array(path)))
        stack = Slices(
            hu[None] if hu.ndim == 2 else hu, value_range or "full", size=shape[1] if fit else None
        )
        x = torch.stack([stack[i] for i in range(len(stack))])
        x = rows(items(x, shape, Given())[0], shape, prior)
    else:
        slices = holds_slices(path)
        data = open_images(
            path,
            shape,
            wanted,
            convert=convert,
            fit=fit,
            strict=True,
            default_window=window if slices else None,
        )
        x = torch.stack([data[i] for i in range(len(data))])  # type: ignore[arg-type]
    if len(x) != 1:
        raise InvalidInput(path.name, given=f"{len(x)} pictures", expected="one at a time")
    return x[0].to(prior.dtype)


def outside_of(x: Tensor, pipe: DeftPipeline, doubtful: bool) -> None:
    """Raise `InvalidInput` where signals are visibly not in the range of the prior."""
    clean = Inpainting(torch.ones(1, 1, *x.shape[2:]))
    outside(Observation(x, GaussianLikelihood(clean, 0.0)), pipe.prior, doubtful)


def measured(asked: Asked, pipe: DeftPipeline, limits: Limits) -> Measured:
    """The observation of a request. Raises `InvalidInput` and `BadImage` for what is none."""
    way = way_of(asked, pipe)
    level = _level(asked, way)
    if not way.paints and asked.add_noise:
        raise InvalidInput(
            "add noise",
            given="on",
            expected="off, unless what is missing is painted: elsewhere the problem adds its own",
        )
    if not way.paints and way.problem is None:
        return _given(asked, pipe, way, level, limits)
    x = picture(asked, pipe, limits)[None].to(pipe.prior.device)
    seed = limits.numbers(asked.samples, asked.steps, asked.seed)[2]
    noise = Noise([mix(seed, 4, 0)], x.device, x.dtype)
    if way.paints:
        mask = painted.mask(asked.painted, *x.shape[2:])
        operator = Inpainting(torch.from_numpy(mask)[None, None]).to(x.device)
        likelihood = pipe.problem.likelihood(operator, x, level)
        y = likelihood.sample(x, noise.stream(3)) if asked.add_noise else operator.observed(x)
        observed = Observation(y, likelihood)
        warn_doubts(observed, pipe.prior, operator=False)
        return Measured(observed, mask, level != pipe.problem.sigma_y, True)
    assert way.problem is not None
    if way.sigma_y is None or (way.problem is pipe.problem and level == way.problem.sigma_y):
        drawn = way.problem.draw(x, noise)
        return Measured(drawn, None, False, False)
    likelihood = GaussianLikelihood(
        way.problem.operator(x, noise.stream(1)).to(x.device), torch.tensor([level]).to(x)
    )
    y = likelihood.sample(x, noise.stream(3))
    return Measured(Observation(y, likelihood), None, True, way.problem is not pipe.problem)


def _given(
    asked: Asked, pipe: DeftPipeline, way: Way, level: float | None, limits: Limits
) -> Measured:
    path = _file(asked.file, limits)
    if way.needs and asked.beside is None:
        raise InvalidInput(
            way.needs,
            given="no second file",
            expected=f"the {way.needs} of this measurement, as a file",
            advice=_BESIDE[way.needs],
        )
    if not way.needs and asked.beside is not None:
        raise InvalidInput(
            "second file",
            given=asked.beside.name,
            expected="none: all measurements of this h-transform are by one operator",
        )
    said: dict[str, object] = {"mask": None, "kernel": None, "angles": None}
    if way.needs:
        said[way.needs] = _beside(way.needs, _file(asked.beside, limits))
    if asked.size != "as it is":
        raise InvalidInput(
            "size", given=asked.size, expected="as it is: a measurement is taken as it was made"
        )
    given = Given(
        mask=said["mask"],
        kernel=said["kernel"],
        angles=said["angles"],
        sigma_y=None if level is None else 0.0,
        value_range=_values(asked.values, pipe.problem.window),
        convert=_of(CHANNELS, "channels", asked.channels),
        window=pipe.problem.window,
    )
    with warnings.catch_warnings():
        if level is not None:  # what is doubtful of a level is said of the one below
            warnings.filterwarnings("ignore", message=".*sigma_y.*")
        first = observation_of(path, pipe.prior, pipe.problem, given)
    if len(first) != 1:
        raise InvalidInput(path.name, given=f"{len(first)} measurements", expected="one at a time")
    mask = None
    if said["mask"] is not None:
        mask = first.operator.mask[0, 0].cpu().numpy()  # type: ignore[index]
    if level is not None:
        operator = first.operator
        first = Observation(first.y, pipe.problem.likelihood(operator, first.y, level))
        warn_doubts(first, pipe.prior, operator=False)
    own_noise = level is not None and level != pipe.problem.sigma_y
    return Measured(first, mask, own_noise, bool(way.needs))


_BESIDE = {
    "mask": "a picture that is white where y was observed, under Mask, kernel or angles",
    "kernel": "the blur kernel as a picture or an npy file, under Mask, kernel or angles",
    "angles": "the angles in degrees as an npy file, under Mask, kernel or angles",
}


def _beside(kind: str, path: Path) -> object:
    """A mask as its file, a kernel and angles as numbers."""
    if kind == "mask":
        return path
    if path.suffix.lower() in _ARRAYS:
        return np.asarray(read_array(path))
    try:
        return pictures.decoded(path).convert("L")
    except pictures.Unreadable as error:
        raise InvalidInput(kind, given=str(error), expected=_BESIDE[kind]) from error


def _level(asked: Asked, way: Way) -> float | None:
    if way.sigma_y is None:
        if asked.sigma_y is not None:
            raise InvalidInput(
                "sigma_y",
                given=asked.sigma_y,
                expected="nothing: the problem has a law of noise of its own",
                advice="leave it empty",
            )
        return None
    if asked.sigma_y is None or not math.isfinite(asked.sigma_y):
        return way.sigma_y
    return checks.non_negative(
        "sigma_y", asked.sigma_y, "the standard deviation of the noise, in the range of the prior"
    )


def _file(path: Path | None, limits: Limits) -> Path:
    if path is None:
        raise InvalidInput("file", given="none", expected="a picture, an npy file or a CT slice")
    limits.file(path)
    return path


def _values(chosen: str, window: Range | None) -> Range | None:
    if chosen not in VALUES:
        raise InvalidInput("values", given=chosen, expected=f"one of {', '.join(VALUES)}")
    if chosen == VALUES[2] and window is None:
        raise InvalidInput(
            "values",
            given=chosen,
            expected="another choice: this h-transform was not trained on CT slices",
        )
    return {VALUES[0]: None, VALUES[1]: (0.0, 1.0), VALUES[2]: window}[chosen]


def _of(table: dict[str, str | None], what: str, chosen: str) -> str | None:
    if chosen not in table:
        raise InvalidInput(what, given=chosen, expected=f"one of {', '.join(table)}")
    return table[chosen]


def _idle(**options: str | None) -> None:
    for name, value in options.items():
        if value is not None:
            raise InvalidInput(
                name, given=value, expected="nothing: arrays are neither converted nor resized"
            )
