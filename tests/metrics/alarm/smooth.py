"""A smooth Gaussian signal and exact samples of its posterior."""

from __future__ import annotations

import torch
from torch import Tensor

from deft.likelihoods import GaussianLikelihood, Observation
from deft.noise import Noise
from deft.operators.matrix import Matrix
from deft.priors.gaussian_mixture import GaussianMixture
from deft.schedules import VPCosine

DOUBLE = torch.float64
PLACES, SIGMA_Y = 48, 0.3


def covariance(reach: float = 3.0) -> Tensor:
    at = torch.arange(PLACES, dtype=DOUBLE)
    return torch.exp(-0.5 * ((at[:, None] - at) / reach) ** 2) + 1e-4 * torch.eye(
        PLACES, dtype=DOUBLE
    )


def prior(reach: float = 3.0) -> GaussianMixture:
    return GaussianMixture(
        torch.zeros(1, PLACES, dtype=DOUBLE), covariance(reach)[None], None, VPCosine()
    )


def blur(width: float = 1.0) -> Tensor:
    at = torch.arange(PLACES, dtype=DOUBLE)
    rows = torch.exp(-0.5 * ((at[:, None] - at) / width) ** 2)
    return rows / rows.sum(1, keepdim=True)


def signals(count: int, seed: int, reach: float = 3.0) -> Tensor:
    root = torch.linalg.cholesky(covariance(reach))
    return Noise(range(seed, seed + count), dtype=DOUBLE).normal(0, (PLACES,)) @ root.T


def measured(
    x: Tensor,
    seed: int,
    *,
    sigma_y: float = SIGMA_Y,
    true: Tensor | None = None,
    told: float = SIGMA_Y,
) -> Observation:
    """Measurements through `true`, told to be through `blur()` with noise `told`."""
    noise = Noise(range(seed, seed + len(x)), dtype=DOUBLE).normal(1, (PLACES,))
    y = x @ (blur() if true is None else true).T + sigma_y * noise
    return Observation(y, GaussianLikelihood(Matrix(blur()[None]), told))


def posterior_samples(observation: Observation, count: int, seed: int) -> Tensor:
    """Exact samples under what was told: (observations, count, places)."""
    a, c, s2 = blur(), covariance(), float(observation.sigma_y[0]) ** 2
    gain = c @ a.T @ torch.linalg.inv(a @ c @ a.T + s2 * torch.eye(PLACES, dtype=DOUBLE))
    root = torch.linalg.cholesky(c - gain @ a @ c + 1e-9 * torch.eye(PLACES, dtype=DOUBLE))
    n = len(observation)
    z = Noise(range(seed, seed + n), dtype=DOUBLE).normal(2, (count, PLACES))
    return (observation.y @ gain.T)[:, None] + z @ root.T


def most_likely_sigma_y(observation: Observation) -> tuple[float, list[float]]:
    """The maximum of the marginal likelihood over a fine grid: of all together, and of each."""
    a = blur()
    eigenvalues, u = torch.linalg.eigh(a @ covariance() @ a.T)
    y2 = (observation.y @ u).square()
    grid = torch.linspace(-3.5, 1.0, 2001, dtype=DOUBLE).exp()
    v = eigenvalues.clamp(min=0)[:, None] + grid**2
    log_p = -0.5 * (y2 @ (1 / v) + v.log().sum(0))
    return float(grid[log_p.sum(0).argmax()]), grid[log_p.argmax(1)].tolist()
