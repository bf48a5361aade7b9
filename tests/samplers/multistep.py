"""What multistep samplers are tested with: an estimate that is a polynomial in lambda, and the end
of a known flow.
"""

from __future__ import annotations

import torch
from torch import Tensor

from deft.noise import Noise
from deft.samplers.base import Sampler
from deft.samplers.grids import TimeGrid
from deft.schedules import Schedule
from deft.steps import State
from tests.closed_form import DOUBLE, mixture


class Given(TimeGrid):
    """These times."""

    def __init__(self, positions: Tensor) -> None:
        self.given = positions

    def positions(self, schedule: Schedule, steps: int) -> Tensor:
        return self.given


def end_of_a_polynomial(
    sampler: Sampler, times: Tensor, powers: list[float], corrects: bool = False
) -> tuple[float, float]:
    """x at the last of `times` where x_0_hat = sum_k p_k lambda^k, and what it is, from x = 1 at
    the second of them.

        x_s = (sigma_s / sigma_t) x_t + sigma_s int e^lambda x_0_hat dlambda

    by trapezia. The sampler begins at the third and remembers the first two, so that it is of its
    full order from there on; one that `corrects` remembers the signal, too.
    """
    prior = mixture()
    schedule = prior.schedule

    def half(t: Tensor) -> Tensor:
        return schedule.log_snr(t) / 2

    def polynomial(lam: Tensor) -> Tensor:
        return sum((p * lam**k for k, p in enumerate(powers)), torch.zeros_like(lam))

    def exact(s: Tensor) -> Tensor:
        lam = torch.linspace(float(half(times[1:2])), float(half(s)), 400_001, dtype=DOUBLE)
        area = torch.trapezoid(lam.exp() * polynomial(lam), lam)
        return schedule.sigma(s) * (1 / schedule.sigma(times[1:2]) + area)

    like = torch.ones(1, 3, dtype=DOUBLE)
    prior.denoise = lambda x_t, t: 0 * x_t + polynomial(half(t))  # type: ignore[method-assign]
    known = [v for r in (times[1:2], times[:1]) for v in (polynomial(half(r)) * like, r)]
    memory = (like, *known) if corrects else tuple(known)
    state = State(exact(times[2:3]) * like, times[2:3], 2, memory)
    for s in times[3:]:
        state = sampler.step(prior, state, s[None], Noise([1], dtype=DOUBLE))
    return float(state.x_t[0, 0]), float(exact(times[-1:]))
