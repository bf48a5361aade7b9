"""The statistics of answers, and the reference: those of held-out images where all is as told."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from deft.errors import InvalidInput
from deft.htransforms.base import HTransform
from deft.likelihoods import GaussianLikelihood, Observation
from deft.metrics.alarm import prior_error, residual
from deft.metrics.alarm.noise_level import FACTORS
from deft.metrics.alarm.reference import Reference, counts_up_to
from deft.noise import Noise, mix
from deft.posterior import Posterior
from deft.priors.base import Prior
from deft.problems import Problem
from deft.samplers.base import Sampler
from deft.types import Signal

Draw = Callable[[str, Observation, Sequence[int]], Tensor]

_SHARED = residual.NAMES.index("shared")

SEEDS = (45, 46)
"""The streams of the reference's measurements and samples, which no answer draws from."""


@torch.no_grad()
def measure(
    prior: Prior,
    observation: Observation,
    samples: Tensor,
    counts: tuple[int, ...],
    levels: tuple[float, ...] = prior_error.LEVELS,
    batch_size: int = 64,
) -> Tensor:
    """The statistics of answers: (sample counts, observations, statistics), in double precision.

    `samples` (observations, samples, *signal) are posterior samples in signal space; of each
    observation the first `counts` samples are taken. The prior is asked `len(levels)` times per
    sample, the operator once.
    """
    if not observation.likelihood.has_misfit:
        raise InvalidInput(
            "the alarm needs a likelihood with a misfit",
            given=type(observation.likelihood).__name__,
            expected="a measurement, whose residual is known",
        )
    rows = []
    for i in range(len(samples)):
        x = samples[i, : max(counts)].to(prior.device, prior.dtype)
        own = observation.take([i]).to(prior.device)
        errors = torch.cat(
            [
                prior_error.prior_errors(
                    prior.take([i] * len(part)),
                    part,
                    levels,
                    start,
                )
                for start, part in _parts(x, batch_size)
            ]
        )
        rows.append(
            torch.stack(
                [
                    torch.cat(
                        [residual.residual_statistics(x[:k], own).cpu(), errors[:k].mean(0).cpu()]
                    )
                    for k in counts
                ]
            )
        )
    if not rows:
        return torch.zeros(len(counts), 0, len(residual.NAMES) + len(levels), dtype=torch.float64)
    return torch.stack(rows, dim=1)


def reference(
    prior: Prior,
    h_transform: HTransform,
    problem: Problem,
    images: Signal,
    sampler: Sampler,
    *,
    sampler_card: Mapping[str, object],
    num_samples: int = 8,
    seed: int = 0,
    noise_images: int = 16,
    batch_size: int = 64,
    draw: Draw | None = None,
) -> Reference:
    """The reference of an h-transform: the statistics of answers to measurements of held-out
    images, drawn by `problem` with its own operators and noise levels.

    The images are drawn like those that the alarm is for, and none of the training's. Of the first
    `noise_images` the noise is multiplied by `FACTORS` too, where the problem has one level, so
    that `estimate_sigma_y` knows others; 0 leaves that out. `sampler_card` describes the sampler in
    plain values; `draw(name, observation, seeds)` draws the samples of a pass, in signal space,
    such as one that keeps them.
    """
    x_0 = images.to(prior.device, prior.dtype)
    noise, seeds = ([mix(seed, stream, i) for i in range(len(x_0))] for stream in SEEDS)
    observation = problem.draw(x_0, Noise(noise, prior.device, prior.dtype))
    counts = counts_up_to(num_samples)

    def plainly(name: str, observed: Observation, own: Sequence[int]) -> Tensor:
        posterior = Posterior(prior, h_transform, observed)
        return prior.decode(sampler(posterior, num_samples, seed=own, batch_size=batch_size))

    draw = draw or plainly
    drawn = draw("as told", observation, seeds)
    values = measure(prior, observation, drawn, counts, batch_size=batch_size)
    curve = None
    some = min(noise_images, len(x_0))
    if some and not isinstance(problem.sigma_y, tuple) and _is_noisy(observation):
        whole = values[:, :, _SHARED].mean(1)
        means, alike = {1.0: whole}, whole - values[:, :some, _SHARED].mean(1)
        for factor in FACTORS:
            louder = _louder(observation.take(range(some)), x_0[:some], factor)
            rows = residuals(louder, draw(f"noise x {factor:g}", louder, seeds[:some]), counts)
            means[factor] = rows[:, :, _SHARED].mean(1) + alike  # as of all images
        factors = sorted(means)
        shared = torch.stack([means[factor] for factor in factors], dim=1)
        curve = {"factor": factors, "shared": shared.tolist()}
    levels = levels_of(problem, observation)
    return Reference(values, counts, sampler_card, levels, seed=seed, noise=curve)


def residuals(observation: Observation, samples: Tensor, counts: Sequence[int]) -> Tensor:
    """The statistics of the residuals alone: (sample counts, observations, statistics)."""
    rows = [
        [
            residual.residual_statistics(x[:k].to(observation.y), observation.take([i]))
            for k in counts
        ]
        for i, x in enumerate(samples)
    ]
    return torch.stack([torch.stack(row) for row in rows], dim=1).cpu()


def _is_noisy(observation: Observation) -> bool:
    return type(observation.likelihood) is GaussianLikelihood and bool(
        (observation.sigma_y > 0).all()
    )


def _louder(observation: Observation, x_0: Signal, factor: float) -> Observation:
    """The same measurements with their noise multiplied, and told as before."""
    noise = observation.residual(x_0)
    y = observation.y + (factor - 1) * noise
    return Observation(observation.operator.observed(y), observation.likelihood)


def levels_of(problem: Problem, observation: Observation) -> Tensor | None:
    """The noise level of each observation, where the problem draws them; None where all have
    one.
    """
    if not isinstance(problem.sigma_y, tuple):
        return None
    return observation.sigma_y.double().expand(len(observation)).cpu()


def _parts(x: Signal, size: int) -> list[tuple[int, Signal]]:
    return [(start, x[start : start + size]) for start in range(0, len(x), size)]
