"""The verdicts of `deft sample`: whether each answer is like those to measurements where all is as
told (deft.metrics.alarm), and sigma_y where it is asked for.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from torch import Tensor

from deft.errors import InvalidInput
from deft.likelihoods import Observation
from deft.metrics.alarm import NoiseLevel, estimate_sigma_y
from deft.priors.base import Prior
from deft.problems import Problem
from deft.samplers.base import Sampler
from deft.studies.alarm import reference_on, verdicts, why_none
from deft.studies.method import Method

ESTIMATE = "estimate"


@final
@dataclass(frozen=True)
class Verdicts:
    """What judges the answers of one h-transform, by its card; `why_none` says why nothing does."""

    card: Mapping[str, Any]
    why_none: str

    @classmethod
    def of(
        cls, card: Mapping[str, Any], method: Method, observed: Observation, samples: int
    ) -> Verdicts:
        """The verdicts of a method on these measurements."""
        return cls(card, why_none(card, method, observed, samples))

    def facts(self, prior: Prior, observed: Observation, samples: Tensor) -> dict[str, object]:
        """The verdict on one answer, as it is recorded; nothing where there is none."""
        if self.why_none:
            return {}
        return {"verdict": verdicts(self.card, prior, observed, samples[None])[0].card()}

    def say(self, records: Sequence[Mapping[str, Any]]) -> None:
        """One line for each measurement, or why there are none."""
        if self.why_none:
            print(self.why_none)
            return
        for record in records:
            said = record.get("verdict")
            if isinstance(said, Mapping):
                reasons = f": {'; '.join(said['reasons'])}" if said["reasons"] else ""
                print(f"{record['name']}: {said['level']} (p = {said['p']:.2g}){reasons}")


def started_from(problem: Problem, sigma_y: float | Path | str | None) -> float | Path | None:
    """The noise level that measurements are read with before it is estimated: the problem's, or the
    middle of its range; any other, or the file of one for each entry, as it is given.
    """
    if isinstance(sigma_y, Path):
        return sigma_y
    if sigma_y != ESTIMATE:
        return None if sigma_y is None else float(sigma_y)
    level = problem.sigma_y
    if isinstance(level, tuple):
        return math.sqrt(level[0] * level[1])
    if not level > 0:
        raise InvalidInput(
            "--sigma_y",
            given=ESTIMATE,
            expected="a number: the h-transform was trained without noise",
            advice="train one for a range of noise levels",
        )
    return None


def noise_level(
    card: Mapping[str, Any],
    prior: Prior,
    method: Method,
    problem: Problem,
    observed: Observation,
    samples: int,
    seeds: Sequence[int],
    batch_size: int,
) -> NoiseLevel:
    """sigma_y of these measurements, by the h-transform of a card and its reference."""
    between = problem.sigma_y if isinstance(problem.sigma_y, tuple) else None
    known = reference_on(card)
    if between is None and (known is None or known.noise is None):
        raise InvalidInput(
            "--sigma_y",
            given=ESTIMATE,
            expected="an h-transform trained for a range of noise levels, or one with a reference "
            "that knows others",
            advice="measure it with deft alarm, or say the number",
        )
    sampler, h_transform = method.sampler, method.h_transform
    assert isinstance(sampler, Sampler)
    assert h_transform is not None
    return estimate_sigma_y(
        prior,
        h_transform,
        observed.to(prior.device),
        sampler,
        reference=known,
        between=between,
        num_samples=samples,
        seed=list(seeds),
        batch_size=batch_size,
    )
