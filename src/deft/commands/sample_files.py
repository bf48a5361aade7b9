"""What `deft sample` writes of each image: arrays, pictures, weights."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from deft.data import write_npz, write_png
from deft.likelihoods import Observation
from deft.metrics.intervals import Intervals, classes
from deft.priors.base import Prior
from deft.reports import figure
from deft.storage.atomic import atomic


def write(
    out: Path, name: str, samples: Tensor, observed: Observation, prior: Prior, truth: Tensor | None
) -> list[str]:
    """The samples, their mean and standard deviation as arrays and, of images, as pictures; gives
    back the names of the files.
    """
    mean = samples.mean(0)
    std = samples.std(0) if len(samples) > 1 else torch.zeros_like(mean)
    files = []
    if samples.ndim == 4 and samples.shape[1] in (1, 3):
        value_range = prior.value_range or (float(samples.min()), float(samples.max()))
        spread, high = np.asarray(std.square().mean(0).sqrt()), float(std.max()) or 1.0
        shown = figure.heat(spread, high)
        write_png(out / f"{name}-mean.png", mean, value_range)
        _write_bytes(out / f"{name}-std.png", figure.png(figure.with_scale(shown, high)))
        sheet = _sheet(samples, mean, shown, high, observed, value_range, truth)
        _write_bytes(out / f"{name}-samples.png", figure.png(sheet))
        files = [f"{name}-{kind}.png" for kind in ("mean", "std", "samples")]
    arrays = {"samples": samples, "mean": mean, "std": std, "y": observed.measured[0]} | (
        {} if truth is None else {"truth": truth}
    )
    write_npz(out / f"{name}.npz", arrays)
    return [*files, f"{name}.npz"]


def _sheet(
    samples: Tensor,
    mean: Tensor,
    shown: figure.Picture,
    high: float,
    observed: Observation,
    value_range: tuple[float, float],
    truth: Tensor | None,
) -> figure.Picture:
    """Truth, measurement, samples, mean and standard deviation side by side."""
    row = [figure.picture(np.asarray(truth), value_range)] if truth is not None else []
    measured = figure.picture(np.asarray(observed.operator.lift(observed.y)[0]), value_range)
    row.append(figure.hatch(measured, np.asarray(observed.operator.coverage(mean[None])[0])))
    row += [figure.picture(np.asarray(x), value_range) for x in samples]
    row += [figure.picture(np.asarray(mean), value_range), shown]
    titles = [
        *(["truth"] if truth is not None else []),
        "measurement",
        *(f"sample {j + 1}" for j in range(len(samples))),
        "mean",
        f"std, 0 to {high:.2g}",
    ]
    return figure.grid([row], titles, scale=figure.enlargement(tuple(samples.shape[1:])))


def write_weights(out: Path, name: str, card: Mapping[str, object]) -> str:
    _write_bytes(out / f"{name}-weights.json", json.dumps(card, indent=1, allow_nan=False).encode())
    if card["collapsed"]:
        warnings.warn(
            f"{name}: the weights collapsed (effective sample size below 2); its samples and log "
            "p(y) are not to be trusted.",
            stacklevel=2,
        )
    return f"{name}-weights.json"


def _write_bytes(path: Path, content: bytes) -> None:
    with atomic(path) as file:
        file.write(content)


def write_interval(
    out: Path,
    name: str,
    intervals: Intervals,
    samples: Tensor,
    observed: Observation,
    prior: Prior,
    truth: Tensor | None,
    functionals: Tensor | None,
) -> tuple[list[str], dict[str, object]]:
    """The ends of every pixel's interval, added to the arrays, and half its width as a picture;
    gives back the names of further files, and how many per cent of uncertain pixels hold the truth,
    where that is known.
    """
    seen = observed.operator.coverage(samples[:1])
    low, high = intervals.pixels(samples[None], seen, prior.value_range)
    with np.load(out / f"{name}.npz", allow_pickle=False) as stored:
        arrays = {key: torch.from_numpy(stored[key]) for key in stored.files}
    arrays |= {"low": low[0], "high": high[0]}
    if functionals is not None:
        ends = intervals.of_functionals(samples[None], functionals)
        keys = ("functional_mean", "functional_low", "functional_high")
        arrays |= {key: value[0] for key, value in zip(keys, ends, strict=True)}
    write_npz(out / f"{name}.npz", arrays)
    facts: dict[str, object] = {}
    if truth is not None:
        where = classes(samples[None, : intervals.samples], seen, intervals.about.threshold)
        inside = ((low <= truth) & (truth <= high))[where["uncertain"] & low.isfinite()]
        facts = {"held": 100 * float(inside.float().mean())} if len(inside) else {}
    half = np.asarray((high - low)[0] / 2)
    if half.ndim != 3 or half.shape[0] not in (1, 3):
        return [], facts
    widest = float(np.nanmax(half)) if np.isfinite(half).any() else 1.0
    shown = figure.heat(np.sqrt(np.square(half).mean(0)), widest or 1.0)
    _write_bytes(out / f"{name}-interval.png", figure.png(figure.with_scale(shown, widest or 1.0)))
    return [f"{name}-interval.png"], facts
