"""One Gaussian step of a diffusion, with two times and no derivative of the schedule.

    x_s = a x_0_hat + b x_t + c z
    c = eta sigma_s sqrt(1 - (alpha_t sigma_s / (alpha_s sigma_t))^2),
    b = sqrt(sigma_s^2 - c^2) / sigma_t,   a = alpha_s - b alpha_t

eta = 0 is DDIM, the probability-flow ODE to first order; eta = 1 is DDPM. Where c > 0 a step has a
density.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from deft.schedules import Schedule
from deft.types import LogProb, Signal, Times, expand, in_double, inner


@final
@dataclass(frozen=True)
class Transition:
    """One Gaussian step from t to s < t: x_s = a x_0_hat + b x_t + c z, one number each per signal
    or one for all.
    """

    a: Tensor
    b: Tensor
    c: Tensor
    eta: float = 1.0

    @classmethod
    def between(cls, schedule: Schedule, t: Times, s: Times, eta: float) -> Transition:
        """The step that preserves the marginals of the prior; eta = 0 is DDIM, eta = 1 DDPM."""
        alpha_t, sigma_t, alpha_s, sigma_s = (
            schedule.alpha(t),
            schedule.sigma(t),
            schedule.alpha(s),
            schedule.sigma(s),
        )
        c = eta * sigma_s * (1 - (alpha_t * sigma_s / (alpha_s * sigma_t)) ** 2).clamp(min=0).sqrt()
        b = (sigma_s**2 - c**2).clamp(min=0).sqrt() / sigma_t
        return cls(alpha_s - b * alpha_t, b, c, eta)

    def mean(self, x_0_hat: Signal, x_t: Signal) -> Signal:
        """a x_0_hat + b x_t."""
        return expand(self.a, x_t).to(x_t) * x_0_hat + expand(self.b, x_t).to(x_t) * x_t

    def log_ratio(self, x_s: Signal, x_t: Signal, x_0_hat: Signal, shift: Signal) -> LogProb:
        """log p(x_s | x_t) - log q(x_s | x_t), where p takes the step with the prior's x_0_hat and
        q with x_0_hat + shift.

            -u . z - |u|^2 / 2,    u = (a / c) shift,    z = (x_s - a (x_0_hat + shift) - b x_t) / c

        z is what q drew. Needs c > 0: without noise (eta = 0) a step has no density. In double
        precision, for these are sums over all entries.
        """
        x_s, x_t, x_0_hat, shift = map(in_double, (x_s, x_t, x_0_hat, shift))
        c = expand(self.c, x_t).to(x_t)
        u = expand(self.a, x_t).to(x_t) / c * shift
        z = (x_s - self.mean(x_0_hat + shift, x_t)) / c
        return -inner(u, z + 0.5 * u)


@final
@dataclass(frozen=True)
class Steps:
    """The steps that a sampler will take: its grid, and the share of fresh noise in them; eta is
    None where they are not those of `Transition`.
    """

    schedule: Schedule
    times: Tensor
    eta: float | None

    def transition(self) -> Transition:
        """All steps from one time of the grid to the next at once, in double precision; the last,
        to x_0_hat, is not among them.
        """
        t = self.times.double()
        return Transition.between(
            self.schedule, t[:-1], t[1:], 0.0 if self.eta is None else self.eta
        )

    def moved_by(self) -> Tensor:
        """a, the factor by which each step moves when x_0_hat does; 1 in the last, which returns
        x_0_hat.
        """
        return torch.cat([self.transition().a, torch.ones_like(self.times[:1].double())])

    def fresh(self) -> Tensor:
        """c, the standard deviation of what each step draws; 0 in the last."""
        return torch.cat([self.transition().c, torch.zeros_like(self.times[:1].double())])
