"""Path weights: how far the samples of a posterior are from the posterior.

    log w = log p(y | x_0) + sum over steps [ log p(x_s | x_t) - log q(x_s | x_t) ]

q takes each step with the posterior's x_0_hat, p with the prior's; the last step, x_0 =
x_0_hat(x_{t_N}), is the prior's own in both. With the exact h the weights tend to the constant p(y)
as the steps grow. With any h, samples under their weights are samples of p(x_0 | y), for the prior
that the sampler's own steps draw from; the mean weight estimates p(y), and the effective sample
size says how exact h is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from deft.errors import InvalidInput
from deft.noise import Noise
from deft.posterior import Posterior
from deft.priors.base import Prior
from deft.priors.denoised import Denoised
from deft.samplers.arguments import Seed, at_most, observation_seeds, room_for_batch, sample_count
from deft.samplers.base import Sampler
from deft.samplers.weights import (
    WeightedSamples,
    check_finite,
    effective_sample_size,
    gaussian_steps,
    log_evidence,
    weighable,
)
from deft.steps import Estimate, stops
from deft.transitions import Steps, Transition
from deft.types import Signal

__all__ = [
    "Path",
    "WeightedSamples",
    "effective_sample_size",
    "log_evidence",
    "path_log_weight",
    "simulate",
    "weigh",
]


@final
@dataclass(frozen=True)
class Path:
    """Where samples went: x_t at every time of the grid and what the prior said there, for
    `samples` paths of each observation, side by side.
    """

    times: Float[Tensor, " steps"]
    eta: float
    samples: int
    x_t: Float[Tensor, "steps batch *event"]
    x_0_hat: Float[Tensor, "steps batch *event"]

    @property
    def owner(self) -> Tensor:
        """The observation of each path."""
        return torch.arange(self.x_t.shape[1]) // max(self.samples, 1)

    @property
    def x_0(self) -> Signal:
        """Where the paths end: (batch, *event)."""
        return self.x_0_hat[-1]


@torch.no_grad()
def simulate(
    posterior: Prior,
    sampler: Sampler,
    num_samples: int,
    *,
    seed: Seed = 0,
    batch_size: int | None = None,
) -> Path:
    """Draw `num_samples` paths for each observation and keep them; seeds and `batch_size` are as in
    `Sampler`.

    A path is that of `sampler` with the same seed, up to its end, which is the prior's x_0_hat.
    Raises `InvalidInput` unless the sampler is DDIM with eta > 0 (one evaluation and one Gaussian
    draw a step), the prior a `Posterior`, and sigma_y > 0.
    """
    eta = gaussian_steps(sampler, "a path weight").eta
    posterior, num_samples, batch_size = (
        weighable(posterior, "a path weight"),
        sample_count(num_samples),
        at_most(batch_size),
    )
    noise = Noise(
        observation_seeds(seed, len(posterior.observation)), posterior.device, posterior.dtype
    ).repeat(num_samples)
    times = sampler.grid.times(posterior.schedule, sampler.steps)
    posterior = posterior.on(Steps(posterior.schedule, times, eta))
    owner = torch.arange(len(posterior.observation)).repeat_interleave(num_samples)
    size = batch_size or max(len(noise), 1)
    shape = (len(times), len(noise), *posterior.event_shape)
    x_t, x_0_hat = (
        torch.empty(shape, dtype=posterior.dtype, device=posterior.device) for _ in range(2)
    )
    for start in range(0, len(noise), size):
        part = slice(start, start + size)
        with room_for_batch(len(owner[part])):
            _fill(
                posterior.take(owner[part]),
                noise.take(part),
                times.to(posterior.device),
                eta,
                x_t[:, part],
                x_0_hat[:, part],
            )
    return Path(times, eta, num_samples, x_t, x_0_hat)


def path_log_weight(
    path: Path, posterior: Prior, *, batch_size: int | None = None
) -> Float[Tensor, "observations samples"]:
    """log w of each path, as if this posterior had drawn it, in double precision.

    The prior is not evaluated again, unless the h-transform differentiates it or asks it elsewhere
    than at x_t. The graph of h's
    parameters follows the caller. The mean of the weights estimates p(y) where `posterior` itself
    drew the path, and not otherwise. Raises `WeightsNotFinite` with the step.
    """
    posterior = weighable(posterior, "a path weight").on(
        Steps(posterior.schedule, path.times, path.eta)
    )
    batch = path.x_t.shape[1]
    if batch != len(posterior.observation) * path.samples:
        raise InvalidInput(
            f"{batch} paths, {path.samples} for each observation, do not belong to a posterior of "
            f"{len(posterior.observation)} observations."
        )
    size = batch_size or max(batch, 1)
    parts = []
    for start in range(0, batch, size):
        part = slice(start, start + size)
        with room_for_batch(len(path.owner[part])):
            parts.append(_log_weight(path, part, posterior.take(path.owner[part])))
    log_w = torch.cat(parts) if parts else torch.empty(0, dtype=torch.float64)
    return log_w.reshape(len(posterior.observation), path.samples)


@torch.no_grad()
def weigh(path: Path, posterior: Prior, *, batch_size: int | None = None) -> WeightedSamples:
    """The ends of paths that `posterior` drew, with their weights, log p(y), and the effective
    sample size: how exact its h-transform is.
    """
    log_w = path_log_weight(path, posterior, batch_size=batch_size)
    value, error = log_evidence(log_w)
    density = weighable(posterior, "a path weight").observation.operator.density
    x_0, never = (
        path.x_0.unflatten(0, log_w.shape),
        torch.zeros(len(log_w), dtype=torch.int64, device=log_w.device),
    )
    return WeightedSamples(
        x_0,
        log_w,
        value if density else None,
        error if density else None,
        effective_sample_size(log_w)[:, None],
        never,
    )


def _fill(
    posterior: Posterior, noise: Noise, times: Tensor, eta: float, x_t: Tensor, x_0_hat: Tensor
) -> None:
    def asked(x: Signal, t: Tensor) -> Estimate:
        denoised, shift = posterior.parts(x, t)
        return Estimate(denoised.x_0_hat, shift)

    for stop in stops(posterior, noise, times, eta, asked):
        x_t[stop.index], x_0_hat[stop.index] = stop.x_t, stop.said.x_0_hat


def _log_weight(path: Path, part: slice, posterior: Posterior) -> Float[Tensor, " batch"]:
    times = path.times.to(posterior.device)
    log_w = posterior.observation.likelihood.log_prob(
        path.x_0[part], posterior.observation.y
    ).double()
    for k, (t, s) in enumerate(zip(times[:-1, None], times[1:, None])):
        x_t, x_s = path.x_t[k, part], path.x_t[k + 1, part]
        if posterior.h_transform.needs_prior_gradient:
            denoised, shift = posterior.parts(x_t, t)
        elif posterior.h_transform.asks_elsewhere:
            denoised = Denoised(x_t, t, *posterior.levels(x_t, t), path.x_0_hat[k, part])
            shift = posterior.denoise(x_t, t) - denoised.x_0_hat
        else:
            denoised = Denoised(x_t, t, *posterior.levels(x_t, t), path.x_0_hat[k, part])
            shift = posterior.h_transform.shift(denoised, posterior.observation)
        transition = Transition.between(posterior.schedule, t, s, path.eta)
        log_w = log_w + transition.log_ratio(x_s, x_t, denoised.x_0_hat, shift).double()
        check_finite(
            log_w.detach(), path.owner[part], f"step {k + 1} of {len(times)} (t = {t.item():.4g})"
        )
    return log_w
