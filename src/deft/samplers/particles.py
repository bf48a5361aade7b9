"""Systems of particles (deft.samplers.smc): what the prior, the h-transform and the twist say at
the place of each, and their weights, ancestors and evidence.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor
from tqdm.auto import tqdm

from deft.htransforms.base import Potential
from deft.posterior import Posterior
from deft.samplers.arguments import room_for_batch
from deft.samplers.weights import (
    WeightedSamples,
    check_finite,
    effective_sample_size,
    relative_variance,
    systematic,
)
from deft.types import Signal, Times


@final
@dataclass(frozen=True)
class _Particles:
    """What is said at the places of all particles: the prior's x_0_hat, the shift, and log psi of
    the twist.
    """

    x_0_hat: Signal
    shift: Signal
    log_psi: Tensor

    def take(self, index: Tensor) -> _Particles:
        return _Particles(self.x_0_hat[index], self.shift[index], self.log_psi[index])


@final
class Told:
    """What the prior, the h-transform and the twist say of all particles, `size` of them at a
    time.
    """

    def __init__(
        self, posterior: Posterior, twist: Potential, num_samples: int, size: int, bar: tqdm
    ) -> None:
        self.owner = torch.arange(len(posterior.observation))[:, None].expand(-1, num_samples)
        self.posterior, self.twist, self.size, self.bar = posterior, twist, size, bar

    def __call__(self, x_t: Signal, t: Times) -> _Particles:
        """x_0_hat of the prior, the shift, and log psi, from one evaluation of the prior."""
        parts = []
        for x, owner in zip(x_t.split(self.size), self.owner.flatten().split(self.size)):
            with room_for_batch(len(x)):
                posterior = self.posterior.take(owner)
                denoised, shift = posterior.parts(x, t)
                parts.append(
                    (
                        denoised.x_0_hat,
                        shift,
                        self.twist.log_h(denoised, posterior.observation).double(),
                    )
                )
            self.bar.update(len(x))
        estimates, shifts, twists = zip(*parts)
        return _Particles(torch.cat(estimates), torch.cat(shifts), torch.cat(twists))

    def log_likelihood(self, x_0: Signal) -> Tensor:
        """log p(y | x_0)."""
        observation = self.posterior.observation
        return torch.cat(
            [
                observation.likelihood.take(owner)
                .log_prob(x, observation.y[owner.to(x.device)])
                .double()
                for x, owner in zip(x_0.split(self.size), self.owner.flatten().split(self.size))
            ]
        )


@final
class System:
    """The weights of all particles, where each came from, and the evidence so far."""

    def __init__(self, owner: Tensor, device: torch.device) -> None:
        n, num_samples = owner.shape
        self.owner = owner
        self.log_w = torch.zeros(n, num_samples, dtype=torch.float64, device=device)
        self.log_z = torch.zeros(n, dtype=torch.float64, device=device)
        self.slots = torch.arange(num_samples, device=device).expand(n, -1)
        self.ancestors, self.resampled = (
            self.slots,
            torch.zeros(n, dtype=torch.int64, device=device),
        )
        self.ess: list[Tensor] = []

    def add(self, log_weights: Tensor, where: str) -> None:
        """Multiply the weights."""
        check_finite(log_weights, self.owner.flatten(), where)
        self.log_w = self.log_w + log_weights.reshape(self.log_w.shape)
        self.ess.append(effective_sample_size(self.log_w))

    def resample(self, fewest: float, u: Tensor) -> Tensor:
        """Where the ESS is below `fewest`, choose the survivors; which particle takes which place,
        for all of them.
        """
        low = self.ess[-1] < fewest
        chosen = torch.where(low[:, None], systematic(self.log_w, u.to(self.log_w)), self.slots)
        total = self.log_w.logsumexp(1) - math.log(self.log_w.shape[1])
        self.log_z = torch.where(low, self.log_z + total, self.log_z)
        self.log_w = torch.where(low[:, None], torch.zeros_like(self.log_w), self.log_w)
        self.ancestors, self.resampled = self.ancestors.gather(1, chosen), self.resampled + low
        return (
            chosen + self.slots.shape[1] * torch.arange(len(low), device=low.device)[:, None]
        ).flatten()

    def result(self, x_0: Signal, density: bool = True) -> WeightedSamples:
        """What is left, with log p(y) and its standard error where the likelihood is a `density`
        of y.
        """
        log_evidence = self.log_z + self.log_w.logsumexp(1) - math.log(self.log_w.shape[1])
        error = relative_variance(self.log_w, self.ancestors).sqrt()
        samples = x_0.unflatten(0, self.log_w.shape)
        return WeightedSamples(
            samples,
            self.log_w,
            log_evidence if density else None,
            error if density else None,
            torch.stack(self.ess, dim=1),
            self.resampled,
        )
