"""What an informed start costs in bias, on Gaussian mixtures, where everything is known.

    python benchmarks/studies/informed_start.py --keep benchmarks/results/informed_start.json

Three Gaussians in ten dimensions (weights 0.4, 0.3, 0.3; means -c, 0, c in every entry; the whole
scaled to a standard deviation of 1), of which y sees one random direction; the exact
h-transform, so that all that is wrong is the start. For each log-SNR of the start, over 32
observations with 64 samples each:

    KL      of the start from the posterior's marginal at that level, by 64 draws of the start,
            whose density is Gaussian: the flow keeps it, so that it is that of the samples, too
    mean    ||mean of the samples - posterior mean|| / sqrt(d), root mean square, for 40 steps of
            DPMSolver (the flow) and of DDIM(eta = 1) (fresh noise)
    spread  of the samples over that of the posterior (trace of the covariance), likewise

A start at the noise end is the first row: what 64 samples and 40 steps leave.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from deft.htransforms.exact import Exact, matrix_form
from deft.likelihoods import GaussianLikelihood, Observation
from deft.noise import Noise
from deft.operators.matrix import Matrix
from deft.posterior import Posterior
from deft.priors.gaussian_mixture import GaussianMixture
from deft.samplers.base import Sampler
from deft.samplers.ddim import DDIM
from deft.samplers.dpm_solver import DPMSolver
from deft.samplers.grids import UniformLogSNR
from deft.samplers.informed import Informed
from deft.schedules import VPCosine
from deft.storage import provenance
from deft.storage.atomic import atomic

D, ROWS, SIGMA_Y, OBSERVATIONS, SAMPLES, STEPS = 10, 1, 0.1, 32, 64, 40
STARTS = (None, -8.0, -6.0, -4.0, -2.0, 0.0)


def prior() -> GaussianMixture:
    """The three modes, with a standard deviation of 1 over all entries."""
    means = torch.tensor([-1.0, 0.0, 1.0], dtype=torch.float64)[:, None].expand(3, D)
    weights = torch.tensor([0.4, 0.3, 0.3], dtype=torch.float64)
    spread = 0.2
    between = float((weights @ means[:, 0] ** 2) - (weights @ means[:, 0]) ** 2)
    unit = (between + spread**2) ** 0.5
    covariance = (spread / unit) ** 2 * torch.eye(D, dtype=torch.float64).expand(3, D, D)
    return GaussianMixture(means / unit, covariance, weights, VPCosine(-14, 14))


def divergence(posterior: Posterior, law: GaussianMixture, sampler: Informed) -> float:
    """KL(start, marginal), per observation, by draws of the start."""
    t = sampler.times_of(posterior)[:1]
    n = len(posterior.observation)
    x = sampler.start(
        posterior.take([i for i in range(n) for _ in range(SAMPLES)]),
        Noise(range(n * SAMPLES), dtype=torch.float64),
    )
    a, y = matrix_form(posterior.observation, (D,))
    s2, eye = posterior.scale**2, torch.eye(D, dtype=torch.float64)
    gain = s2 * a.mT @ torch.linalg.inv(s2 * a @ a.mT + SIGMA_Y**2 * torch.eye(a.shape[1]).to(a))
    mean, covariance = (gain @ y[..., None])[..., 0], s2 * (eye - gain @ a)
    alpha, sigma = law.schedule.alpha(t), law.schedule.sigma(t)
    start = torch.distributions.MultivariateNormal(
        alpha * mean, alpha**2 * covariance + sigma**2 * eye
    )
    log_q = start.log_prob(x.view(n, SAMPLES, D).transpose(0, 1)).T
    owner = torch.arange(n).repeat_interleave(SAMPLES)
    log_p = law.take(owner).log_prob(x, t).view(n, SAMPLES)
    return float((log_q - log_p).mean())


def moments(x: Tensor, law: GaussianMixture) -> tuple[float, float]:
    """The error of the mean, and the spread over the posterior's."""
    mean, covariance = law.moments()
    wrong = (x.mean(1) - mean).square().mean(1)
    spread = x.var(1).sum(1).mean() / covariance.diagonal(dim1=1, dim2=2).sum(1).mean()
    return math.sqrt(float(wrong.mean())), math.sqrt(float(spread))


def main() -> None:
    """All rows, in two minutes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--keep", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    model, rows = prior(), []
    noise = Noise(range(OBSERVATIONS), dtype=torch.float64)
    likelihood = GaussianLikelihood(Matrix(noise.normal(3, (ROWS, D)) / D**0.5), SIGMA_Y)
    y = likelihood.sample(model.sample(noise.stream(5)), noise.stream(6))
    h = Exact(model)
    posterior = Posterior(model, h, Observation(y, likelihood))
    law = h.posterior(posterior.observation)
    for at in STARTS:
        grid = UniformLogSNR(9.0, low=at)
        row: dict[str, Any] = {"log_snr": at}
        inner: dict[str, Sampler] = {
            "flow": DPMSolver(STEPS, grid),
            "fresh noise": DDIM(STEPS, 1.0, grid),
        }
        for name, sampler in inner.items():
            for draws in (True, False) if at is not None else (True,):
                used = sampler if at is None else Informed(sampler, at, draws)
                error, spread = moments(used(posterior, SAMPLES, seed=3), law)
                label = name if draws else f"{name}, from the mean"
                row[label] = {"mean": round(error, 4), "spread": round(spread, 4)}
        if at is not None:
            informed = Informed(inner["flow"], at)
            row["kl"] = round(divergence(posterior, law, informed), 4)
        rows.append(row)
        print(row, flush=True)
    kept = {"noise": Noise.generator, "commit": provenance.commit(), "rows": rows}
    with atomic(args.keep) as stream:
        stream.write((json.dumps(kept, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
