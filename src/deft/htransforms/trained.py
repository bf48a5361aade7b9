"""The noise levels that a learned h-transform was trained for, and the steps that it was distilled
for; a warning for others.

A network reads log sigma_y, and says what it likes at levels that it never read. One that was
distilled says at each time of one grid where the step from there is to lead, and no longer E[x_0 |
x_t, y].
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping

from deft.errors import OutsideTraining
from deft.htransforms.base import HTransform
from deft.likelihoods import Observation
from deft.transitions import Steps

_TOLERANCE = 0.01  # relative; levels are stored in single precision
_NEAR = 1e-3  # of log-SNRs
_MOST = 10_000  # steps


def trained_for(card: Mapping[str, object]) -> tuple[float, float] | None:
    """The least and the largest sigma_y of the problem on a card, in the units of y; None where it
    says none (a relative noise, photons).
    """
    problem = card.get("problem")
    arguments = (
        problem.get("args", problem.get("init_args")) if isinstance(problem, Mapping) else None
    )
    if (
        not isinstance(arguments, Mapping)
        or arguments.get("relative")
        or arguments.get("photons") is not None
    ):
        return None
    level = arguments.get("sigma_y")
    ends = list(level) if isinstance(level, (list, tuple)) else [level, level]
    if len(ends) != 2 or not all(
        isinstance(end, (int, float)) and not isinstance(end, bool) and math.isfinite(end)
        for end in ends
    ):
        return None
    return float(ends[0]), float(ends[1])  # type: ignore[arg-type]


def told_for(card: Mapping[str, object]) -> tuple[float, float] | None:
    """The same with what the prior's autoencoder leaves out of y beside it, where it has one: what
    the h-transform was told.
    """
    levels, codec = trained_for(card), card.get("codec")
    if levels is None or not isinstance(codec, Mapping):
        return levels
    return math.hypot(levels[0], codec["error"]), math.hypot(levels[1], codec["error"])


def warn_outside_training(h_transform: HTransform, observation: Observation) -> None:
    """Warn `OutsideTraining` where sigma_y is none of those for which h, or a part of it, was
    trained.
    """
    for part in h_transform.modules():
        if (
            not isinstance(part, HTransform)
            or part.trained_sigma_y is None
            or not len(observation.sigma_y)
        ):
            continue
        low, high = part.trained_sigma_y
        least, most = float(observation.sigma_y.min()), float(observation.sigma_y.max())
        if least < low * (1 - _TOLERANCE) or most > high * (1 + _TOLERANCE):
            given = f"{least:g}" if least == most else f"{least:g} to {most:g}"
            known = f"{low:g}" if low == high else f"{low:g} to {high:g}"
            warnings.warn(
                f"sigma_y is {given}, and {type(part).__name__} was trained for {known}: its "
                "samples may not fit the noise. Train one for this level "
                "(sigma_y may be a range), or give the sigma_y of training if that is what the "
                "noise is.",
                OutsideTraining,
                stacklevel=3,
            )


def distilled_for(card: Mapping[str, object]) -> tuple[float, ...] | None:
    """The log-SNRs of the steps that the h-transform of a card was distilled for, from noise to
    signal; None where it was not.
    """
    training = card.get("training")
    distilled = training.get("distilled") if isinstance(training, Mapping) else None
    found = distilled.get("log_snr") if isinstance(distilled, Mapping) else None
    if not isinstance(found, (list, tuple)) or not 0 < len(found) <= _MOST:
        return None
    if not all(
        isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
        for value in found
    ):
        return None
    return tuple(map(float, found))


def warn_other_steps(h_transform: HTransform, steps: Steps) -> None:
    """Warn `OutsideTraining` where h, or a part of it, was distilled for other steps than these."""
    for part in h_transform.modules():
        if not isinstance(part, HTransform) or part.distilled_for is None:
            continue
        asked = [float(value) for value in steps.schedule.log_snr(steps.times.double())]
        known = part.distilled_for
        if len(asked) == len(known) and all(
            abs(a - b) <= _NEAR * max(1.0, abs(b)) for a, b in zip(asked, known, strict=True)
        ):
            continue
        grid = ", ".join(f"{value:.3g}" for value in known)
        warnings.warn(
            f"{type(part).__name__} was distilled for {len(known)} evaluations at log-SNRs {grid}, "
            f"and this sampler makes {len(asked)} at others: its samples may be wrong. Take the "
            "sampler of its card (deft.load(...).sampler; leave --steps and --sampler out), or an "
            "h-transform that was not distilled.",
            OutsideTraining,
            stacklevel=4,
        )
