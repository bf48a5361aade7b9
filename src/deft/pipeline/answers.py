"""What a pipeline answers: samples, their mean and standard deviation, and a verdict on each.

misfit of an answer
        root mean square of ||y - A x|| / (sigma_y sqrt(m)) over its samples; 1 is right
alarm   whether an answer is like those to measurements where all is as told (deft.metrics.alarm)
effective sample size
        of path weights, how many samples of the posterior the paths are worth (deft.paths)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, final

import torch
from jaxtyping import Float
from torch import Tensor

from deft.data.arrays import Range, convert_range, to_uint8
from deft.errors import InvalidInput, SamplesNotFinite
from deft.likelihoods import Observation
from deft.metrics.alarm import Verdict
from deft.metrics.image import far_from_right, misfit, root_mean_square
from deft.paths import WeightedSamples
from deft.priors.base import Prior
from deft.problems import Problem
from deft.studies.alarm import verdicts, why_none
from deft.studies.conformal import coverage_of, doubt
from deft.studies.method import Method
from deft.studies.words import some
from deft.types import Signal

if TYPE_CHECKING:
    from PIL.Image import Image


@final
@dataclass(frozen=True)
class Assessment:
    """How far an answer is to be trusted: `misfit` (without noise the residual ||y - A x|| /
    sqrt(m)), on which side it is `far` from right ("above", "below" or ""), the `alarm` where the
    card has a reference, and, where they were asked for, the effective sample size of so many paths
    with the lowest one on the way.

    What is not known is None.
    """

    misfit: float | None = None
    far: str = ""
    alarm: Verdict | None = None
    paths: int = 0
    effective_sample_size: float | None = None
    log_evidence: float | None = None

    @property
    def doubtful(self) -> bool:
        """Whether the misfit is far from right, or the alarm is raised."""
        return bool(self.far) or (self.alarm is not None and self.alarm.alarm)

    def line(self) -> str:
        """All that is known, in one line."""
        parts = []
        if self.misfit is not None:
            parts.append(f"misfit {self.misfit:.3g}")
        if self.far:
            parts[-1] += f", far {self.far} what is right"
        if self.alarm is not None:
            parts.append(self.alarm.line())
        if self.effective_sample_size is not None:
            parts.append(
                f"effective sample size {self.effective_sample_size:.3g} of {self.paths} paths"
            )
        return "; ".join(parts) or "nothing is known of it"


@final
@dataclass(frozen=True, repr=False)
class Answers:
    """Samples for each measurement, (observations, samples, *signal), with a verdict on each.

    `low` and `high` are the ends of calibrated intervals of each place, None where there are none;
    `notes` say why what one might expect is not there. Values are in `value_range`. Torch functions
    take an `Answers` as its samples.
    """

    samples: Float[Tensor, "observations samples *event"]
    verdicts: tuple[Assessment, ...]
    observation: Observation
    value_range: Range | None = None
    low: Signal | None = None
    high: Signal | None = None
    notes: tuple[str, ...] = ()

    @property
    def mean(self) -> Signal:
        """The mean over the samples of each measurement."""
        return self.samples.mean(1)

    @property
    def std(self) -> Signal:
        """The standard deviation over the samples; 0 where there is one."""
        if self.samples.shape[1] < 2:
            return torch.zeros_like(self.samples[:, 0])
        return self.samples.std(1)

    @property
    def shape(self) -> torch.Size:
        """That of the samples."""
        return self.samples.shape

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: Any) -> Tensor:
        return self.samples[index]

    @classmethod
    def __torch_function__(
        cls,
        function: Callable[..., Any],
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        named = {name: _tensors(value) for name, value in (kwargs or {}).items()}
        return function(*map(_tensors, args), **named)

    def to_range(self, value_range: Range) -> Answers:
        """The same answers with their values in another range, (0, 1) or Hounsfield units say."""
        own = self.value_range
        if own is None:
            raise InvalidInput(
                "value_range",
                given=value_range,
                expected="nothing: the prior says no range of its values",
            )
        return replace(
            self,
            samples=convert_range(self.samples, own, value_range),
            low=None if self.low is None else convert_range(self.low, own, value_range),
            high=None if self.high is None else convert_range(self.high, own, value_range),
            value_range=value_range,
        )

    def picture(self, answer: int = 0, sample: int | None = None) -> Image:
        """The mean of an answer as a picture of Pillow, or one of its samples; values beyond the
        range become its ends.
        """
        from PIL import Image as pillow

        x = self.mean[answer] if sample is None else self.samples[answer, sample]
        if x.ndim != 3 or x.shape[0] not in (1, 3):
            raise InvalidInput(
                "picture",
                given=f"signals of shape {tuple(x.shape)}",
                expected="(1 or 3, height, width)",
            )
        pixels = to_uint8(x, self.value_range or (float(x.min()), float(x.max()))).cpu().numpy()
        return pillow.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0))

    def __repr__(self) -> str:
        shape = " x ".join(map(str, self.samples.shape[2:]))
        head = f"{len(self)} x {self.samples.shape[1]} samples of {shape}"
        lines = [f"{i + 1}: {verdict.line()}" for i, verdict in enumerate(self.verdicts)]
        return "\n".join([head, *lines, *self.notes])


def _tensors(value: Any) -> Any:
    """A value with samples in place of the answers in it."""
    if isinstance(value, (list, tuple)):
        return type(value)(map(_tensors, value))
    return value.samples if isinstance(value, Answers) else value


def answered(
    method: Method,
    prior: Prior,
    problem: Problem,
    observation: Observation,
    samples: Tensor,
    *,
    own_noise: bool = False,
    own_operator: bool = False,
    weighed: WeightedSamples | None = None,
    batch_size: int | None = None,
) -> Answers:
    """The answers of a method: samples of a prior, decoded, with what is known of each.

    `own_noise` and `own_operator` say that sigma_y, or a mask, a kernel or angles, came from the
    user. Raises `SamplesNotFinite` where any sample is not finite.
    """
    x = prior.decode(samples)
    broken = (~x.isfinite().flatten(1).all(1)).nonzero().flatten().tolist()
    if broken:
        raise SamplesNotFinite(
            "samples",
            given=f"NaN or infinite values for measurement {some([str(i + 1) for i in broken])}",
            expected="finite samples",
            advice="look at these measurements, and at the weights of the prior and of h",
        )
    count, card, notes = x.shape[1], method.learned, []
    why = why_none(card, method, observation, count)
    alarms: list[Verdict | None] = [None] * len(x)
    if not why and card is not None:
        alarms = list(verdicts(card, prior, observation, x, batch_size=batch_size or 64))
    elif card is not None and card.get("alarm") is not None:
        notes.append(why)
    found = tuple(
        _assessment(x[i], observation.take([i]), alarms[i], weighed, i) for i in range(len(x))
    )
    low = high = None
    if method.intervals is not None:
        reason = _no_intervals(method, problem, count, observation, own_noise)
        if reason:
            notes.append(f"no intervals: {reason}")
        else:
            seen = coverage_of(observation, x[:, 0])
            low, high = method.intervals.pixels(x.cpu(), seen, prior.value_range)
            low, high = low.to(x.device), high.to(x.device)
            if own_operator:
                notes.append(
                    "the operator is yours, and intervals were calibrated for those that the "
                    "problem draws: they hold on average over such operators alone"
                )
    return Answers(x, found, observation, prior.value_range, low, high, tuple(notes))


def _no_intervals(
    method: Method, problem: Problem, count: int, observation: Observation, own_noise: bool
) -> str:
    assert method.intervals is not None
    why = doubt(method.intervals, method, problem, count)
    if why is None and observation.is_whitened:
        why = "they were calibrated with the same noise in every entry"
    level = problem.sigma_y
    if why is None and own_noise and not isinstance(level, tuple):
        told = observation.sigma_y
        if not torch.allclose(told, torch.full_like(told, level), rtol=1e-4, atol=1e-8):
            why = f"they were calibrated for sigma_y = {level:g}, and it is {float(told[0]):.4g}"
    return why or ""


def _assessment(
    x: Tensor,
    observed: Observation,
    alarm: Verdict | None,
    weighed: WeightedSamples | None,
    place: int,
) -> Assessment:
    value, far = None, ""
    if observed.likelihood.has_misfit:
        size = float(root_mean_square(misfit(x, observed.take([0] * len(x)))))
        far = far_from_right(size, observed)
        value = size if math.isfinite(size) else None
    if weighed is None:
        return Assessment(value, far, alarm)
    return Assessment(
        value,
        far,
        alarm,
        weighed.x_0.shape[1],
        float(weighed.effective_sample_size[place]),
        None if weighed.log_evidence is None else float(weighed.log_evidence[place]),
    )
