"""The calibrated intervals of a method, as `deft sample` takes them: whether they hold, and what
is said of them.
"""

from __future__ import annotations

import warnings
from pathlib import Path

from deft.metrics.intervals import Intervals
from deft.problems import Problem
from deft.storage.cards import described
from deft.studies.conformal import CLAIM, doubt
from deft.studies.method import Method
from deft.studies.words import number


def usable(
    method: Method,
    problem: Problem,
    samples: int,
    sigma_y: float | Path | str | None,
    masks: Path | None,
    sensitivities: Path | None = None,
) -> Intervals | None:
    """The intervals of a method, or None, with a warning that says why, where they do not hold for
    such samples.
    """
    found = method.intervals
    if found is None:
        return None
    why = doubt(found, method, problem, samples)
    if why is None and sigma_y is not None and sigma_y != problem.sigma_y:
        why = f"they were calibrated for sigma_y = {problem.sigma_y}, and it is {sigma_y}"
    if why is not None:
        warnings.warn(
            f"no intervals are given: {why}, so that they do not hold; deft conformal calibrates "
            "others.",
            stacklevel=2,
        )
        return None
    given = (("masks", masks), ("sensitivities", sensitivities))
    yours = " and ".join(name for name, path in given if path is not None)
    if yours:
        warnings.warn(
            f"the {yours} are yours, and intervals were calibrated for those of "
            f"{described(problem.card())}: "
            f"they hold on average over such {yours} alone.",
            stacklevel=2,
        )
    if samples > found.samples:
        warnings.warn(
            f"intervals were calibrated for at most {number(found.samples, 'sample')}: they are "
            f"those of the first {found.samples} of {samples}.",
            stacklevel=2,
        )
    return found


def say_intervals(intervals: Intervals | None) -> None:
    """What holds, on one line."""
    if intervals is not None:
        about = intervals.about
        print(
            f"{100 * about.level:g} % intervals are in low and high of the npz files, calibrated "
            f"on {number(about.units, about.unit)}; {CLAIM}"
        )
