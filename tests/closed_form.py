"""Small problems with known answers: priors, operators and observations that the contracts
share.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from deft.likelihoods import GaussianLikelihood, Observation
from deft.noise import Noise
from deft.operators.matrix import Matrix
from deft.priors.base import Prior
from deft.priors.gaussian_mixture import GaussianMixture
from deft.samplers.base import Sampler
from deft.schedules import Schedule, VPCosine
from deft.steps import State

DOUBLE = torch.float64


def gaussian(schedule: Schedule | None = None) -> GaussianMixture:
    """One Gaussian in three dimensions with correlations."""
    covariance = torch.tensor([[1.0, 0.6, 0.0], [0.6, 0.8, -0.2], [0.0, -0.2, 0.3]], dtype=DOUBLE)
    return GaussianMixture(
        torch.tensor([[0.5, -1.0, 0.3]], dtype=DOUBLE),
        covariance[None],
        None,
        schedule or VPCosine(),
    )


def mixture(schedule: Schedule | None = None) -> GaussianMixture:
    """Two Gaussians in three dimensions."""
    covariance = torch.tensor([[0.5, 0.2, 0.0], [0.2, 0.4, -0.1], [0.0, -0.1, 0.3]], dtype=DOUBLE)
    means = torch.tensor([[1.0, -1.0, 0.3], [-0.8, 0.5, 0.0]], dtype=DOUBLE)
    return GaussianMixture(
        means,
        torch.stack([covariance, 0.3 * covariance]),
        torch.tensor([0.4, 0.6]),
        schedule or VPCosine(),
    )


def measured(
    prior: GaussianMixture, n: int = 1, sigma_y: float | Tensor = 0.3, rows: int = 2, seed: int = 0
) -> Observation:
    """`n` observations through matrices of their own."""
    noise = Noise(range(seed, seed + n), dtype=DOUBLE)
    likelihood = GaussianLikelihood(
        Matrix(noise.normal(3, (rows, math.prod(prior.event_shape)))), sigma_y
    )
    return Observation(
        likelihood.sample(prior.sample(noise.stream(5)), noise.stream(6)), likelihood
    )


def affine_moments(
    sampler: Sampler, prior: Prior, start: GaussianMixture, monkeypatch
) -> tuple[Tensor, Tensor]:
    """Mean (d,) and covariance (d, d) of a sampler's output, exactly, where prior.denoise is
    affine.

    The output is then affine in x_1 and in every draw; each is probed with unit vectors, one row of
    the batch each. x_1 follows the marginal of `start` at t = 1.
    """
    grid = sampler.grid.times(prior.schedule, sampler.steps)
    d, last = math.prod(prior.event_shape), len(grid)
    rows = 1 + d * last
    unit = torch.zeros(rows, last, d, dtype=DOUBLE)
    unit[1:] = torch.eye(d * last, dtype=DOUBLE).reshape(-1, last, d)
    monkeypatch.setattr(
        Noise, "normal", lambda self, step, shape: unit[:, step].reshape(rows, *shape)
    )

    mean, covariance = start.moments()
    alpha, sigma = prior.schedule.alpha(grid[:1]), prior.schedule.sigma(grid[:1])
    root = torch.linalg.cholesky(alpha**2 * covariance[0] + sigma**2 * torch.eye(d, dtype=DOUBLE))
    state = State(alpha * mean + (unit[:, 0] @ root.T).reshape(rows, *prior.event_shape), grid[:1])
    batch, noise = prior.take([0] * rows), Noise([0] * rows, dtype=DOUBLE)
    with torch.no_grad():
        for s in grid[1:]:
            state = sampler.step(batch, state, s[None], noise)
        x_0 = batch.denoise(state.x_t, state.t).flatten(1)
    monkeypatch.undo()
    columns = x_0[1:] - x_0[0]
    return x_0[0], columns.T @ columns
