"""The samples of a pipeline one by one, for whoever looks at them while they come.

    x^(j) ~ p(x_0 | y),   j = 1, ..., n,    by the seed (seed of the observation, j) alone

Since a sample does not depend on those that are drawn beside it, n samples one after the other are
the same as n at once, up to the rounding of batches of another size.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from deft.likelihoods import Observation
from deft.noise import Noise
from deft.pipeline.answers import Answers, answered
from deft.pipeline.pipeline import DeftPipeline
from deft.posterior import Posterior
from deft.samplers.arguments import Seed, observation_seeds, sample_count
from deft.samplers.base import Watch
from deft.samplers.dpm_solver import DPMSolver
from deft.studies.method import Method


def one_by_one(
    pipe: DeftPipeline,
    observed: Observation,
    num_samples: int = 8,
    *,
    steps: int | None = None,
    seed: Seed = 0,
    own_noise: bool = False,
    own_operator: bool = False,
    on_step: Watch | None = None,
) -> Iterator[Answers]:
    """The answers after each sample; the last are those of `pipe(observed, ...)`.

    Those before it know their misfit alone: an alarm and intervals are for all samples. `own_noise`
    and `own_operator` say that sigma_y, or a mask, a kernel or angles, came from the user;
    `on_step` sees the state after every step of every sample. Raises `InvalidInput` for arguments
    that no sampler takes, and `SamplesNotFinite`.
    """
    count = sample_count(num_samples)
    observed = observed.to(pipe.prior.device)
    by = pipe.sampler if steps is None else DPMSolver(steps)
    posterior = Posterior(pipe.prior, pipe.h, observed)
    by.check(posterior)
    seeds = observation_seeds(seed, len(observed))
    noise = Noise(seeds, pipe.prior.device, pipe.prior.dtype).repeat(count)
    part = Method("DEFT", pipe.h, by)
    whole = Method("DEFT", pipe.h, by, intervals=pipe.intervals, learned=pipe.card)
    found = []
    for j in range(count):
        own = noise.take([i * count + j for i in range(len(seeds))])
        found.append(by.run(posterior.take(range(len(seeds))), own, on_step=on_step))
        yield answered(
            whole if j == count - 1 else part,
            pipe.prior,
            pipe.problem,
            observed,
            torch.stack(found, 1),
            own_noise=own_noise,
            own_operator=own_operator,
        )
