"""One prior under another schedule, exactly.

    E[x_0 | x_t] depends on x_t / alpha_t and on the log-SNR alone

With t' the time at which the wrapped prior's schedule has the log-SNR of t,

    x_0_hat(x_t, t) = prior.denoise(alpha'_{t'} x_t / alpha_t, t')
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from deft.errors import ScheduleOutOfRange
from deft.noise import Noise
from deft.priors.base import Prior
from deft.priors.wrapped import WrappedPrior
from deft.schedules import Schedule
from deft.transitions import Steps
from deft.types import Signal, Times, expand

_TOLERANCE = 1e-2


@final
class Rescheduled(WrappedPrior):
    """`prior`, run under `schedule`.

    Log-SNRs that the wrapped prior's schedule does not reach raise `ScheduleOutOfRange`: at
    construction where it is the noise end, from which every sampler starts, in `denoise` elsewhere.
    Within 0.01 of an end (half a per cent in sigma / alpha) the end itself is taken.
    """

    def __init__(self, prior: Prior, schedule: Schedule) -> None:
        super().__init__(prior)
        self.schedule: Schedule = _Snapped(schedule, prior.schedule)
        self._check(schedule.log_snr(torch.ones(1, dtype=torch.float64)))

    def around(self, prior: Prior) -> Rescheduled:
        return Rescheduled(prior, self._asked)

    def on(self, steps: Steps) -> Prior:
        """Itself: published steps belong to the schedule that they were published for, and are
        refused where they are asked.
        """
        return self

    def initial(self, noise: Noise) -> Signal:
        """The wrapped prior's x_1, scaled to the spread of this schedule's noise end; exact where
        both noise ends have the same log-SNR.
        """
        return (
            self._spread(self.schedule)
            / self._spread(self.prior.schedule)
            * self.prior.initial(noise)
        )

    def denoise(self, x_t: Signal, t: Times) -> Signal:
        t = t.double()
        log_snr = self.schedule.log_snr(t)
        self._check(log_snr)
        t_prior = self.prior.schedule.time(log_snr)
        ratio = self.prior.schedule.alpha(t_prior) / self.schedule.alpha(t)
        return self.prior.denoise(expand(ratio, x_t).to(x_t) * x_t, t_prior)

    @property
    def _asked(self) -> Schedule:
        assert isinstance(self.schedule, _Snapped)
        return self.schedule.asked

    def _spread(self, schedule: Schedule) -> float:
        one = torch.ones(1, dtype=torch.float64)
        return (schedule.alpha(one) ** 2 * self.scale**2 + schedule.sigma(one) ** 2).sqrt().item()

    def _check(self, log_snr: Tensor) -> None:
        low, high = self.prior.schedule.log_snr_range
        given = (float(log_snr.min()), float(log_snr.max()))
        if given[0] < low - _TOLERANCE or given[1] > high + _TOLERANCE:
            asked = (
                f"{given[0]:.2f}" if given[0] == given[1] else f"{given[0]:.2f} to {given[1]:.2f}"
            )
            raise ScheduleOutOfRange(
                f"{type(self._asked).__name__} asks {self.prior.name} for log-SNR {asked}, and "
                f"its own {type(self.prior.schedule).__name__} knows {low:.2f} "
                f"to {high:.2f}; choose the ends of the schedule or of the time grid within that "
                "range."
            )


@final
class _Snapped(Schedule):
    """`asked`, with times snapped to those that the network of another schedule knows."""

    def __init__(self, asked: Schedule, known: Schedule) -> None:
        self.asked, self.known = asked, known

    def alpha(self, t: Times) -> Times:
        return self.asked.alpha(t)

    def sigma(self, t: Times) -> Times:
        return self.asked.sigma(t)

    def time(self, log_snr: Times) -> Times:
        return self.asked.time(log_snr.clamp(*self.known.log_snr_range))

    def log_snr(self, t: Times) -> Times:
        return self.asked.log_snr(t)

    def snap(self, t: Times) -> Times:
        own = self.known.time(self.asked.log_snr(t))
        snapped = self.known.snap(own)
        moved = self.asked.time(self.known.log_snr(snapped))
        return torch.where(snapped == own, t, moved)
