"""Denoising score matching for the h-transform.

    loss_i = mean over entries of ((x_0 - x_0_hat - shift) / r_t)^2,
    r_t^2 = s^2 sigma_t^2 / (alpha_t^2 s^2 + sigma_t^2),  s = prior.scale

x_0 is drawn from the data, y from p(y | x_0), t from a `TimeLaw`, x_t = alpha_t x_0 + sigma_t eps,
and x_0_hat = E[x_0 | x_t] comes from the frozen prior. The minimiser of a squared error is a
conditional mean, so that x_0_hat + shift = E[x_0 | x_t, y].

Denker et al. 2024, arXiv:2406.01781, eq. 10, in units of the estimate instead of the noise: with
eps_hat - eps = (alpha_t / sigma_t) (x_0 - x_0_hat),

    ||eps_hat - sigma_t grad log h - eps||^2 = (alpha_t / sigma_t)^2 ||x_0 - x_0_hat - shift||^2,

so that the loss above is the paper's with weight sigma_t^2 / (alpha_t^2 r_t^2): 1 at low noise, and
at high noise not vanishing with the log-SNR. The minimiser is the same under every weight.
`weighting="eps"` gives the paper's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import final

import torch
from torch import Tensor

from deft import checks
from deft.errors import InvalidInput
from deft.htransforms.base import HTransform, ask, stays
from deft.likelihoods import Observation
from deft.noise import Noise, mix
from deft.priors.base import Prior
from deft.priors.denoised import Asked, Denoised
from deft.problems import Problem
from deft.schedules import Schedule
from deft.storage.fingerprint import digest, in_half
from deft.training.base import Objective
from deft.training.batch import Batch, Loss, several
from deft.training.measured import measured
from deft.training.validation import Validation
from deft.types import Signal, Times

MOST_PER_EVALUATION = 1024
_OBSERVATION, _TIME, _EPS = 1, 2, 3  # streams of a batch's noise


@final
@dataclass(frozen=True)
class TimeLaw:
    """Where in log-SNR training happens: a normal, mixed with a uniform part that keeps every noise
    level in sight.

        log-SNR ~ (1 - uniform) N(mean, std^2) + uniform U(low, high)

    `low` and `high` bound both parts; they default to, and are cut to, the range of the schedule.
    The normal is truncated, not clamped, so that nothing piles up at the ends.
    """

    mean: float = -1.0
    std: float = 2.5
    uniform: float = 0.3
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        checks.finite("mean", self.mean, "the middle of the log-SNRs of training")
        checks.positive("std", self.std, "the standard deviation of the log-SNRs of training")
        checks.share("uniform", self.uniform, "the share of uniform draws")
        for name, end in (("low", self.low), ("high", self.high)):
            if end is not None:
                checks.finite(name, end, "an end of the log-SNRs of training")
        if self.low is not None and self.high is not None:
            checks.finite_range("low, high", (self.low, self.high), "the log-SNRs of training")

    def range(self, schedule: Schedule) -> tuple[float, float]:
        """The log-SNRs at the two ends of what is drawn."""
        start, end = schedule.log_snr_range
        low = start if self.low is None else max(self.low, start)
        high = end if self.high is None else min(self.high, end)
        if not low < high:
            raise InvalidInput(
                f"TimeLaw asks for log-SNRs in [{self.low}, {self.high}] and the schedule runs "
                f"over [{start:.3g}, {end:.3g}]."
            )
        return low, high

    def draw(self, schedule: Schedule, noise: Noise) -> Times:
        """A time per signal, snapped to the times that the network knows."""
        low, high = self.range(schedule)
        u = noise.uniform(0, (2,))
        flat = low + (high - low) * u[:, 1]
        normal = torch.distributions.Normal(torch.zeros((), dtype=u.dtype, device=u.device), 1.0)
        ends = normal.cdf(
            torch.tensor(
                [(low - self.mean) / self.std, (high - self.mean) / self.std],
                dtype=u.dtype,
                device=u.device,
            )
        )
        place = (ends[0] + (ends[1] - ends[0]) * u[:, 1]).clamp(1e-7, 1 - 1e-7)
        peaked = (self.mean + self.std * normal.icdf(place)).clamp(low, high)
        return schedule.snap(schedule.time(torch.where(u[:, 0] < self.uniform, flat, peaked)))


@final
class DenoisingScoreMatching(Objective):
    """The objective of DEFT: its minimiser is E[x_0 | x_t, y] - E[x_0 | x_t], and the prior is
    never differentiated.

    `log_snr_mean`, `log_snr_std` and `uniform` make a `TimeLaw`; `times` gives one whole.
    `weighting` is "spread" (units of r_t) or "eps" (the paper's). A signal is measured afresh
    whenever it is drawn, or with `measurements` so many times in all, whose lifts are kept in
    memory in half precision: for an operator whose lift is a reconstruction that takes long (phase
    retrieval). They depend on the signal's values and on the number.

    With `per_evaluation` a training step draws so many measurements (masks, kernels, noise) for
    each evaluation of the prior, and the loss of a signal is their mean. Its expectation is the
    same, since x_0_hat does not depend on y; the prior's share of a step falls by that factor. A
    validation follows no gradients and takes one.
    """

    def __init__(
        self,
        problem: Problem,
        *,
        log_snr_mean: float = TimeLaw.mean,
        log_snr_std: float = TimeLaw.std,
        uniform: float = TimeLaw.uniform,
        times: TimeLaw | None = None,
        weighting: str = "spread",
        measurements: int | None = None,
        per_evaluation: int = 1,
    ) -> None:
        super().__init__()
        self.per_evaluation = checks.whole(
            "per_evaluation",
            per_evaluation,
            most=MOST_PER_EVALUATION,
            meaning="measurements for each evaluation of the prior",
            advice="4 is a good number where the prior is the larger part of a step",
        )
        if measurements is not None and measurements < 1:
            raise InvalidInput(
                "measurements is how many a signal has, at least one, or None, afresh every "
                f"time; got {measurements}."
            )
        if weighting not in ("spread", "eps"):
            raise InvalidInput(f"weighting is 'spread' or 'eps'; got {weighting!r}.")
        self.problem, self.weighting = problem, weighting
        self.times = times or TimeLaw(log_snr_mean, log_snr_std, uniform)
        self.measurements, self._lifts = measurements, dict[int, Tensor]()

    def ahead(self, h_transform: HTransform, prior: Prior, batch: Batch) -> Batch:
        """With what the prior says of the signals, which does not change as h learns; as it is
        where h asks the prior at a point that depends on y.
        """
        if batch.denoised is not None or h_transform.asks_elsewhere:
            return batch
        own = batch.told(prior)
        return replace(batch, denoised=noised(own, self.times, batch.x_0, batch.noise))

    def loss(self, h_transform: HTransform, prior: Prior, batch: Batch) -> Loss:
        if self.measurements and batch.context:
            expected = "None for signals that are drawn afresh, with a context of their own"
            raise InvalidInput("measurements", given=self.measurements, expected=expected)
        count = self.per_evaluation if torch.is_grad_enabled() else 1
        if count == 1:
            return self._loss_of(h_transform, prior, batch)
        stays(
            h_transform,
            "several measurements for each evaluation of the prior",
            "use per_evaluation=1: the prior is asked where the measurement says",
        )
        found = self._loss_of(
            h_transform, prior, several(self.ahead(h_transform, prior, batch), count)
        )
        return Loss(
            found.value.unflatten(0, (-1, count)).mean(1),
            {name: v.unflatten(0, (-1, count)).mean(1) for name, v in found.shown.items()},
        )

    def _loss_of(self, h_transform: HTransform, prior: Prior, batch: Batch) -> Loss:
        prior = batch.told(prior)
        with torch.autocast(
            batch.x_0.device.type, enabled=False
        ):  # half precision is for networks, not for operators
            observation = self._observed(prior, batch)
        denoised: Denoised | Asked
        if batch.denoised is None:
            t, x_t = _noisy_point(prior, self.times, batch.x_0, batch.noise)
            with torch.no_grad():
                denoised = ask(h_transform, prior, x_t, t, observation)
        else:
            stays(
                h_transform,
                "a bank, which holds what the prior says of x_t, as the training data",
                "train on the images themselves",
            )
            denoised = batch.denoised
        found = self.loss_from(h_transform, prior.scale, denoised, observation, batch.x_0)
        return found.over(prior.dimensions, batch.x_0, "without") if batch.context else found

    def loss_from(
        self,
        h_transform: HTransform,
        scale: float,
        denoised: Denoised | Asked,
        observation: Observation,
        x_0: Signal,
    ) -> Loss:
        """The loss where the prior has spoken already; `scale` is the prior's."""
        unit = (
            denoised.sigma_t / denoised.alpha_t
            if self.weighting == "eps"
            else denoised.spread(scale)
        )
        error = x_0 - denoised.x_0_hat
        left_over = error - h_transform.shift(denoised, observation)  # type: ignore[arg-type]
        return Loss(
            value=(left_over / unit).square().flatten(1).mean(1),
            shown={
                "without": (error / unit).square().flatten(1).mean(1).detach(),
                "log_snr": denoised.log_snr.expand(len(x_0)),
            },
        )

    def validation(self, value: Tensor, shown: Mapping[str, Tensor]) -> Validation:
        return Validation.by_noise_level(value, shown["without"], shown["log_snr"])

    def progress(self, means: Mapping[str, float]) -> str:
        return f"loss {means['loss']:.4g} ({means['loss'] / means['without']:.2f} of no h)"

    def where(self, prior: Prior, shown: Mapping[str, Tensor]) -> str:
        log_snr = shown["log_snr"].double().cpu().sort().values
        t = prior.schedule.time(log_snr)
        first, last = (f"{log_snr[i].item():.4g} (t = {t[i].item():.4g})" for i in (0, -1))
        return f"log-SNR {first}" if len(log_snr) == 1 else f"log-SNRs between {first} and {last}"

    def card(self) -> dict[str, object]:
        kept = {} if self.measurements is None else {"measurements": self.measurements}
        if self.per_evaluation > 1:
            kept["per_evaluation"] = self.per_evaluation
        return {
            **super().card(),
            "problem": self.problem.card(),
            "times": asdict(self.times),
            "weighting": self.weighting,
            **kept,
        }

    def _observed(self, prior: Prior, batch: Batch) -> Observation:
        x_0, noise, seen = batch.x_0, batch.noise.stream(_OBSERVATION), batch.seen
        if self.measurements is None:
            return measured(self.problem, prior, x_0, noise, seen)
        seeds = [
            mix(number_of(signal), seed % self.measurements)
            for signal, seed in zip(x_0, noise.seeds, strict=True)
        ]
        again = Noise(seeds, noise.device, noise.dtype)
        observation = measured(self.problem, prior, x_0, again, seen)
        missing = [i for i, seed in enumerate(seeds) if seed not in self._lifts]
        if missing:
            fresh = observation.take(missing).lifted
            self._lifts |= {
                seeds[i]: lifted.to("cpu", torch.float16)
                for i, lifted in zip(missing, fresh, strict=True)
            }
        return observation.with_lift(torch.stack([self._lifts[seed] for seed in seeds]).to(x_0))


def number_of(signal: Signal) -> int:
    """A number that depends on a signal's values in half precision."""
    return int(digest(in_half(signal))[:14], 16)


def noised(prior: Prior, times: TimeLaw, x_0: Signal, noise: Noise) -> Denoised:
    """What the prior says about a noisy version of x_0, at a time drawn from `times`; without
    gradients.
    """
    t, x_t = _noisy_point(prior, times, x_0, noise)
    with torch.no_grad():
        return prior.at(x_t, t)


def _noisy_point(prior: Prior, times: TimeLaw, x_0: Signal, noise: Noise) -> tuple[Times, Signal]:
    t = times.draw(prior.schedule, noise.stream(_TIME))
    return t, noisy(prior, x_0, t, noise)


def noisy(prior: Prior, x_0: Signal, t: Times, noise: Noise) -> Signal:
    """x_t = alpha_t x_0 + sigma_t eps."""
    alpha_t, sigma_t = prior.levels(x_0, t)
    return alpha_t * x_0 + sigma_t * prior.noise(noise.stream(_EPS), 0).to(x_0)
