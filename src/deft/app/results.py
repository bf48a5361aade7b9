"""What the page shows of answers, and the files that it offers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import torch

from deft.data.arrays import write_npz
from deft.likelihoods import Observation
from deft.pipeline.answers import Answers
from deft.reports import figure
from deft.storage.atomic import atomic

_WIDE, _HALF, _SMALL = 384, 224, 160  # pixels of the screen


@final
@dataclass(frozen=True)
class Pictures:
    """The measurement and the mean, of one size; the mean and the standard deviation with its
    scale, smaller; every sample.
    """

    measurement: figure.Picture
    mean: figure.Picture
    small_mean: figure.Picture
    std: figure.Picture
    samples: tuple[figure.Picture, ...]


def range_of(answers: Answers) -> tuple[float, float]:
    """The range that is shown."""
    return answers.value_range or (float(answers.samples.min()), float(answers.samples.max()))


def measurement(observed: Observation, like: torch.Tensor, shown: tuple[float, float]) -> Any:
    """The lift of y as a picture, hatched where nothing was observed."""
    lifted = figure.picture(np.asarray(observed.lifted[0].cpu()), shown)
    return figure.hatch(lifted, np.asarray(observed.operator.coverage(like)[0].cpu()))


def pictures(answers: Answers) -> Pictures:
    """Pictures of the first answer, each pixel a square of whole pixels of the screen."""
    shown, x = range_of(answers), answers.samples[0].cpu()
    wide = figure.enlargement(tuple(x.shape[1:]), _WIDE)
    half = figure.enlargement(tuple(x.shape[1:]), _HALF)
    small = figure.enlargement(tuple(x.shape[1:]), _SMALL)
    mean = figure.picture(np.asarray(answers.mean[0].cpu()), shown)
    spread, high = _spread(answers)
    return Pictures(
        _enlarged(measurement(answers.observation, answers.samples[:1, 0], shown), wide),
        _enlarged(mean, wide),
        _enlarged(mean, half),
        figure.with_scale(_enlarged(figure.heat(spread, high), half), high),
        tuple(_enlarged(figure.picture(np.asarray(one), shown), small) for one in x),
    )


def files(
    folder: Path,
    name: str,
    answers: Answers,
    mask: np.ndarray[Any, Any] | None,
    settings: Mapping[str, object],
) -> tuple[Path, Path, Path]:
    """NAME-mean.png, NAME-samples.png (measurement, samples, mean and standard deviation side by
    side) and NAME.npz (samples, mean, std, y; mask, low and high where there are such; settings, a
    JSON text) in a folder.
    """
    shown = range_of(answers)
    mean = figure.picture(np.asarray(answers.mean[0].cpu()), shown)
    spread, high = _spread(answers)
    x = answers.samples[0].cpu()
    row = [
        measurement(answers.observation, answers.samples[:1, 0], shown),
        *(figure.picture(np.asarray(one), shown) for one in x),
        mean,
        figure.heat(spread, high),
    ]
    titles = [
        "measurement",
        *(f"sample {j + 1}" for j in range(len(x))),
        "mean",
        f"std, 0 to {high:.2g}",
    ]
    sheet = figure.grid([row], titles, scale=figure.enlargement(tuple(x.shape[1:])))
    arrays: dict[str, Any] = {
        "samples": x,
        "mean": answers.mean[0].cpu(),
        "std": answers.std[0].cpu(),
        "y": answers.observation.y[0].cpu(),
        "settings": np.array(json.dumps(settings)),
    }
    if mask is not None:
        arrays["mask"] = mask
    if answers.low is not None and answers.high is not None:
        arrays |= {"low": answers.low[0].cpu(), "high": answers.high[0].cpu()}
    paths = folder / f"{name}-mean.png", folder / f"{name}-samples.png", folder / f"{name}.npz"
    for path, drawn in zip(paths, (mean, sheet)):
        with atomic(path) as file:
            file.write(figure.png(drawn))
    write_npz(paths[2], arrays)
    return paths


def _spread(answers: Answers) -> tuple[np.ndarray[Any, Any], float]:
    """The standard deviation over the samples, one number for each place, and the largest."""
    spread = np.asarray(answers.std[0].cpu().square().mean(0).sqrt())
    return spread, float(spread.max()) or 1.0


def _enlarged(shown: figure.Picture, scale: int) -> figure.Picture:
    return np.kron(shown, np.ones((scale, scale, 1), dtype=np.uint8))
