"""How well a prior knows a signal: its error of denoising it, by noise level.

    e_l(x) = log( ||x - x_0_hat(alpha_l x + sigma_l eps)||^2 / (d r_l^2) )

The log-density of a signal is an integral of its denoising errors over the noise levels
(Guo, Shamai, Verdu 2005; Kong et al. 2023, arXiv:2302.03792), so that e_l, averaged over samples
of the posterior, is by Fisher's identity the score of a prior that is tempered at level l: signals
that are less usual at that scale. The noise is the same for every signal: e_l is a function of the
signal alone. r_l is the spread that a white Gaussian prior would leave (deft.priors.denoised).
"""

from __future__ import annotations

import torch
from torch import Tensor

from deft.noise import Noise, mix
from deft.priors.base import Prior
from deft.types import Signal

LEVELS = (-3.0, -1.0, 1.0, 3.0)
"""The log-SNRs at which a prior is asked, one evaluation of it per sample each."""

_STREAM = 43


@torch.no_grad()
def prior_errors(
    prior: Prior, signals: Signal, levels: tuple[float, ...] = LEVELS, first: int = 0
) -> Tensor:
    """e_l of each signal at each level: (batch, levels), in double precision.

    Signal i is noised by draw `first` + i, whatever it is. Levels beyond those that the prior's
    schedule has are taken at its end.
    """
    x = prior.encode(signals.to(prior.device, prior.dtype))
    low, high = prior.schedule.log_snr_range
    found = []
    for place, level in enumerate(levels):
        inside = torch.tensor([min(max(level, low), high)], dtype=torch.float64)
        t = prior.schedule.snap(prior.schedule.time(inside)).to(x)
        seeds = [mix(_STREAM, place, first + i) for i in range(len(x))]
        eps = prior.noise(Noise(seeds, x.device, x.dtype), 0)
        alpha, sigma = prior.levels(x, t)
        said = prior.at(alpha * x + sigma * eps, t.expand(len(x)))
        error = (said.x_0_hat - x).double().flatten(1).square().mean(1)
        spread = said.spread(prior.scale).double().flatten()
        found.append((error.clamp(min=1e-20) / spread**2).log())
    return torch.stack(found, dim=1)


def names(levels: tuple[float, ...] = LEVELS) -> tuple[str, ...]:
    """What the errors are called."""
    return tuple(f"prior's error at log-SNR {level:g}" for level in levels)
