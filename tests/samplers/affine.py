"""Exact moments of a sampler's output where every step is affine, without a draw."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from deft.likelihoods import Observation
from deft.noise import Noise
from deft.priors.base import Prior
from deft.priors.gaussian_mixture import GaussianMixture
from deft.samplers.posterior import PosteriorSampler
from deft.steps import State
from tests.closed_form import DOUBLE

Step = Callable[[Observation, Tensor, Noise], Tensor]


class Plain(Prior):
    """A mixture of one Gaussian, without what is there for several: the same denoiser in a tenth
    of the time.
    """

    network_dtype = torch.float64

    def __init__(self, gaussian: GaussianMixture) -> None:
        super().__init__()
        self.schedule, self.event_shape, self.scale = (
            gaussian.schedule,
            gaussian.event_shape,
            gaussian.scale,
        )
        mean, covariance = gaussian.moments()
        self.mean = mean[0]
        self.variances, self.axes = torch.linalg.eigh(covariance[0])

    def denoise(self, x_t: Tensor, t: Tensor) -> Tensor:
        alpha, sigma = self.schedule.alpha(t), self.schedule.sigma(t)
        return self.mean + self.function(
            x_t - alpha * self.mean, alpha * self.variances / (alpha**2 * self.variances + sigma**2)
        )

    def function(self, x: Tensor, eigenvalues: Tensor) -> Tensor:
        """f(C) x, where f(C) has these eigenvalues."""
        return (x @ self.axes * eigenvalues) @ self.axes.T


def moments(
    sampler: PosteriorSampler, given: tuple[Prior, Observation], monkeypatch
) -> tuple[Tensor, Tensor]:
    """Mean (d,) and covariance (d, d) of `sampler` for one observation and a Gaussian prior.

    Start, steps and finish are each probed with unit vectors, in x_t and in every draw that they
    make, and the moments are propagated.
    """
    prior, observation = given
    d = math.prod(prior.event_shape)
    grid = sampler.times_of(prior)
    mean, covariance = torch.zeros(d, dtype=DOUBLE), torch.zeros(d, d, dtype=DOUBLE)
    travelled: list[State] = []

    def start(y: Observation, x: Tensor, noise: Noise) -> Tensor:
        return sampler.start(prior, y, noise)

    def finish(y: Observation, x: Tensor, noise: Noise) -> Tensor:
        return sampler.finish(prior, y, State(x, *_rest(travelled, grid)), noise)

    def step_to(s: Tensor) -> Step:
        def step(y: Observation, x: Tensor, noise: Noise) -> Tensor:
            state = sampler.step(prior, y, State(x, *_rest(travelled, grid)), s[None], noise)
            after.append(state)
            return state.x_t

        return step

    with torch.no_grad():
        mean, covariance = _through(start, prior, observation, mean, covariance, monkeypatch)
        for s in grid[1:]:
            after: list[State] = []
            mean, covariance = _through(
                step_to(s), prior, observation, mean, covariance, monkeypatch
            )
            travelled.append(after[-1])
        return _through(finish, prior, observation, mean, covariance, monkeypatch)


def _rest(travelled: list[State], grid: Tensor) -> tuple[Tensor, int, tuple[Tensor, ...]]:
    """Time, number of steps and memory of the state; what a method remembers must not depend on
    x_t.
    """
    if not travelled:
        return grid[:1], 0, ()
    return travelled[-1].t, travelled[-1].step, travelled[-1].memory


def _through(
    step: Step,
    prior: Prior,
    observation: Observation,
    mean: Tensor,
    covariance: Tensor,
    monkeypatch,
) -> tuple[Tensor, Tensor]:
    """The moments of step(x) = c + M x + N z: c + M mean and M covariance M^T + N N^T."""
    d, draws = len(mean), []

    def count(self: Noise, step: int, shape) -> Tensor:
        draws.append(torch.Size(shape).numel())
        return torch.zeros(len(self), *shape, dtype=DOUBLE)

    with monkeypatch.context() as patch:
        patch.setattr(Noise, "normal", count)
        step(observation.take([0]), mean.new_zeros(1, *prior.event_shape), Noise([0], dtype=DOUBLE))
    width = sum(draws)
    rows = 1 + d + width
    probe = torch.zeros(rows, d + width, dtype=DOUBLE)
    probe[1:] = torch.eye(d + width, dtype=DOUBLE)
    blocks = iter(probe[:, d:].split(draws, dim=1))

    def draw(self: Noise, step: int, shape) -> Tensor:
        return next(blocks).reshape(rows, *shape)

    with monkeypatch.context() as patch:
        patch.setattr(Noise, "normal", draw)
        x = step(
            observation.take([0] * rows),
            probe[:, :d].reshape(rows, *prior.event_shape),
            Noise([0] * rows, dtype=DOUBLE),
        ).flatten(1)
    columns = (x[1:] - x[0]).T
    m, n = columns[:, :d], columns[:, d:]
    return x[0] + m @ mean, m @ covariance @ m.T + n @ n.T
