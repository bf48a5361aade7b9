"""What a prior says at one noisy point, and what it said elsewhere for that point.

x_t = alpha_t x_0 + sigma_t eps
x_0_hat = E[x_0 | x_t],    eps_hat = (x_t - alpha_t x_0_hat) / sigma_t,
score = -eps_hat / sigma_t      (Tweedie)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from deft.types import LogProb, Signal, Times


@dataclass(frozen=True)
class AtLevel:
    """A noisy point, with the factors of the schedule: alpha_t of the signal and sigma_t of the
    noise, shaped to broadcast against it.
    """

    x_t: Signal
    t: Times
    alpha_t: Tensor
    sigma_t: Tensor

    @property
    def log_snr(self) -> Tensor:
        """log(alpha_t^2 / sigma_t^2), one per signal (or one for all)."""
        return 2 * (self.alpha_t.log() - self.sigma_t.log()).flatten()

    def marginal_spread(self, scale: float | Tensor) -> Tensor:
        """sqrt(alpha_t^2 s^2 + sigma_t^2), the standard deviation of x_t where that of x_0 is s =
        `scale`; shaped as sigma_t.
        """
        return (self.alpha_t**2 * scale**2 + self.sigma_t**2).sqrt()

    def spread(self, scale: float | Tensor) -> Tensor:
        """r_t = s sigma_t / sqrt(alpha_t^2 s^2 + sigma_t^2), the standard deviation of x_0 given
        x_t under a white Gaussian of standard deviation s; shaped as sigma_t.
        """
        return scale * self.sigma_t / self.marginal_spread(scale)


@final
@dataclass(frozen=True)
class Denoised(AtLevel):
    """What a prior says about x_0 at one noisy point; on the graph of x_t only when asked for."""

    x_0_hat: Signal

    @property
    def there(self) -> Denoised:
        """Where the prior was asked: here."""
        return self

    @property
    def eps_hat(self) -> Signal:
        """The noise that the estimate implies."""
        return (self.x_t - self.alpha_t * self.x_0_hat) / self.sigma_t

    @property
    def score(self) -> Signal:
        """grad log p_t(x_t)."""
        return -self.eps_hat / self.sigma_t

    def gradient(self, value: LogProb) -> Signal:
        """The gradient of a value per signal with respect to x_t, through the prior; the graph is
        kept, so that there can be several.
        """
        return torch.autograd.grad(value.sum(), self.x_t, retain_graph=True)[0]

    def vjp(self, v: Signal) -> Signal:
        """J^T v, with J the Jacobian of x_0_hat with respect to x_t; the graph is kept, so that
        there can be several.
        """
        return torch.autograd.grad(self.x_0_hat, self.x_t, v, retain_graph=True)[0]


@final
@dataclass(frozen=True)
class Asked(AtLevel):
    """A noisy point for which the prior was asked elsewhere: `there`, at a point and a level of the
    h-transform's choice.

    It has no eps_hat, no score and no gradient: those are of x_t, and of x_t the prior said
    nothing.
    """

    there: Denoised

    @property
    def x_0_hat(self) -> Signal:
        """What the prior said there."""
        return self.there.x_0_hat
