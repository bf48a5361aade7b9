"""Intervals that hold: factors from calibration images, whether they apply, and whether they held.

    observation of calibration image i   drawn from (seed, 44, i)
    sample j of it                        drawn from ((seed, 45, i), j)

which are no streams of an evaluation or of `deft sample`. A folder keeps the samples in `parts/`
(deft.studies.parts), so that a run that was stopped goes on, and another level costs nothing.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from tqdm.auto import tqdm

from deft import checks
from deft.errors import InvalidInput, SamplesNotFinite
from deft.likelihoods import Observation
from deft.metrics import intervals as fields
from deft.metrics.conformal import fewest, usual
from deft.metrics.intervals import Intervals, Origin
from deft.noise import Noise, mix
from deft.priors.base import Prior
from deft.problems import Problem
from deft.storage import claims
from deft.studies.estimate import Estimate
from deft.studies.kept import keep_intervals
from deft.studies.method import Method, describe
from deft.studies.parts import draw
from deft.studies.words import number, some
from deft.types import Signal

RECORD = "conformal.json"
LEVEL, SHARE = 0.9, 0.025
"""The usual level, and the share of the range above which a deviation makes a pixel uncertain."""
_MEANING = "the share of the range above which a deviation makes a pixel uncertain"
CLAIM = "they hold on average over such images, not for this one"


def calibrate(
    prior: Prior,
    problem: Problem,
    images: Signal,
    method: Method,
    *,
    out: str | Path,
    level: float = LEVEL,
    samples: int = 8,
    threshold: float = SHARE,
    units: Sequence[Hashable] | None = None,
    unit: str = "image",
    functionals: Tensor | None = None,
    seed: int = 0,
    batch_size: int = 64,
    progress: bool = True,
) -> Intervals:
    """Draw samples of every image, and compute the factors of every class (deft.metrics.intervals).

    `threshold` is the share of the prior's range above which a deviation makes a pixel uncertain;
    `units` names the unit of each image, the image itself by default; `functionals` are weights
    (k, *signal) of functionals that have a factor each. Raises `InvalidInput` where
    there are too few units for the level, before anything is drawn, and for measurements with
    symmetries, and `SamplesNotFinite`.
    """
    n, count = len(images), len(images) if units is None else len(set(units))
    checks.share("threshold", threshold, _MEANING, one=False)
    if samples < 2:
        raise InvalidInput(
            "samples", given=samples, expected="at least 2, for a deviation", advice="8 is usual"
        )
    if count < fewest(level):
        raise InvalidInput(
            "images" if units is None else "groups",
            given=number(count, unit),
            expected=f"at least {fewest(level)}, for intervals of {100 * level:g} %",
            advice="give more of them, or a lower level",
        )
    folder = Path(out)
    observation = problem.draw(
        images.to(prior.device, prior.dtype),
        Noise([mix(seed, 44, i) for i in range(len(images))], prior.device, prior.dtype),
    )
    if observation.operator.symmetries:
        raise InvalidInput(
            "problem",
            given=type(problem).__name__,
            expected="a measurement that tells a signal from all others",
            advice=f"it is blind to {observation.operator.symmetries}, so that intervals of pixels "
            "mean nothing",
        )
    method.check(prior, observation)
    drawn_from = {
        "prior": prior.identity(),
        "problem": problem.card(),
        "method": method.card(),
        "images": {"count": n, "sha256": describe(images)},
        "observations": describe(observation.y),
        "samples": samples,
        "seed": seed,
        "noise": Noise.generator,
    }
    claims.claim(folder / RECORD, drawn_from, "this calibration")
    with tqdm(
        total=n, desc="calibrating", unit="image", disable=not progress, dynamic_ncols=True
    ) as bar:
        seeds = [mix(seed, 45, i) for i in range(n)]
        parts = draw(prior, observation, method, folder, samples, seeds, batch_size, bar)
    x = torch.cat([part.samples for part in sorted(parts, key=lambda part: part.start)])
    broken = (~x.isfinite().flatten(1).all(1)).nonzero().flatten().tolist()
    if broken:
        raise SamplesNotFinite(
            f"samples of {len(broken)} of {n} calibration images",
            given=f"NaN or infinite values for image {some([str(i + 1) for i in broken])}",
            expected="finite samples",
            advice="look at these images, and at the prior and h",
        )
    extent = extent_of(prior)
    origin = Origin(
        level=level,
        images=n,
        units=count,
        unit=unit,
        data=str(describe(images)),
        sampler=as_json(describe(method.sampler)),
        problem=as_json(problem.card()),
        floor=extent / (255 * 12**0.5),
        threshold=threshold * extent,
    )
    return fields.calibrate(
        x, images.cpu(), coverage_of(observation, images), origin, units=units, weights=functionals
    )


def extent_of(prior: Prior) -> float:
    """The length of the prior's range; two standard deviations of x_0 where it has none."""
    low, high = prior.value_range or (-prior.scale, prior.scale)
    return float(high - low)


def coverage_of(observation: Observation, like: Signal) -> Tensor:
    """How far each place of each signal is observed, on the CPU."""
    return observation.operator.coverage(like.to(observation.y.device)).float().cpu()


def doubt(intervals: Intervals, method: Method, problem: Problem, samples: int) -> str | None:
    """Why intervals do not hold for such samples; None where they may."""
    about = intervals.about
    if as_json(describe(method.sampler)) != as_json(about.sampler):
        return f"they were calibrated for {_named(about.sampler)}"
    changed = claims.differences({"problem": about.problem}, {"problem": problem.card()})
    if changed:
        return f"the problem is another one ({'; '.join(map(str, changed))})"
    return "a deviation needs two samples" if samples < 2 else None


def held(
    intervals: Intervals,
    samples: Float[Tensor, "images samples *event"],
    truth: Signal,
    coverage: Tensor,
    within: tuple[float, float] | None = None,
) -> dict[str, Any]:
    """Of each class that is there: in how many images, and with the usual factor and with the
    calibrated one the mean over images of the share of truths inside, with its standard error,
    and the mean width, cut to the range.
    """
    about, x = intervals.about, samples[:, : intervals.samples]
    count, found = x.shape[1], {}
    factors: dict[str, float | None] = {"before": usual(about.level, count)}
    parts = fields.scored(x, truth, coverage, about.floor, about.threshold)
    for name, (bands, target, where) in parts.items():
        there = where.flatten(1).any(1)
        if not bool(there.any()):
            continue
        row: dict[str, Any] = {"images": int(there.sum()), "before": None, "after": None}
        cut = None if name == "functionals" else within
        for when, q in {**factors, "after": intervals.factor(name, count)}.items():
            if q is not None:
                low, high = bands.interval(q, cut)
                inside = _shares((low <= target) & (target <= high), where)[there]
                row[when] = {
                    "factor": q,
                    "coverage": Estimate.mean(inside.tolist()).card(),
                    "width": float(_shares(high - low, where)[there].mean()),
                }
        found[name] = row
    return found


def held_by(
    method: Method,
    problem: Problem,
    samples: Float[Tensor, " images samples *event"],
    truth: Signal,
    observation: Observation,
    prior: Prior,
    folder: Path,
    clip: bool,
    pictures: int,
) -> dict[str, Any]:
    """What an evaluation says of the intervals that a method has, as the field `intervals`; why
    they do not hold, with a warning, where they do not; nothing for a method without. Those of the
    first `pictures` are kept in the folder, for the report.
    """
    intervals = method.intervals
    if intervals is None:
        return {}
    about, truth = intervals.about, truth[: len(samples)]
    why = doubt(intervals, method, problem, samples.shape[1])
    if why is None and clip:
        why = "samples are clipped, and they were calibrated without"
    if why is None and not bool(samples.isfinite().all()):
        why = "samples are not finite"
    if why is not None:
        warnings.warn(f"{method.label}: its intervals are left out: {why}.", stacklevel=3)
        return {"intervals": {"level": about.level, "why": why}}
    if describe(truth) == about.data:
        warnings.warn(
            f"{method.label}: its intervals were calibrated on these very images, so that their "
            "coverage here is no test of them.",
            stacklevel=3,
        )
    seen = coverage_of(observation.take(range(len(samples))), truth)
    some_of = slice(pictures)
    keep_intervals(
        folder,
        method.label,
        *intervals.pixels(samples[some_of], seen[some_of], prior.value_range),
    )
    return {
        "intervals": {
            "level": about.level,
            "images": about.images,
            "units": number(about.units, about.unit),
            "samples": min(intervals.samples, samples.shape[1]),
            "classes": held(intervals, samples, truth, seen, prior.value_range),
        }
    }


def _shares(values: Tensor, where: Tensor) -> Tensor:
    """The mean over the chosen entries of each image."""
    kept = (values.double() * where).flatten(1).sum(1)
    return kept / where.flatten(1).sum(1).clamp(min=1)


def as_json(value: object) -> Any:
    """A card as JSON gives it back."""
    return json.loads(json.dumps(value))


def _named(sampler: object) -> str:
    """A sampler of a card, which a stranger may have written: one short printable text."""
    said = sampler if isinstance(sampler, Mapping) else {}
    text = f"{said.get('class')}(steps={said.get('steps')})"
    return "".join(c for c in text if c.isprintable())[:80]
