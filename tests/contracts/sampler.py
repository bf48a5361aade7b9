"""What every sampler keeps to."""

from __future__ import annotations

from abc import ABC, abstractmethod

import pytest
import torch

from deft.errors import InvalidInput
from deft.htransforms.exact import Exact
from deft.posterior import Posterior
from deft.priors.base import Prior
from deft.samplers.base import Sampler
from deft.samplers.grids import TimeGrid, UniformLogSNR
from deft.schedules import VPCosine, VPTabulated
from tests.closed_form import affine_moments, gaussian, measured, mixture


class SamplerContract(ABC):
    """A test class says `sampler(steps, grid)`, its `order` of convergence, and from how many
    `steps` on that shows.
    """

    order: int
    steps: int

    @abstractmethod
    def sampler(self, steps: int, grid: TimeGrid | None = None) -> Sampler: ...

    def target(self, prior: Prior) -> Prior:
        """What it runs on: the prior, unless it needs a posterior."""
        return prior

    def test_the_exact_h_gives_the_posterior_of_a_gaussian(self, monkeypatch):
        """Mean and covariance converge to the posterior's at the order of the method, and
        extrapolated in the steps are the posterior's.
        """
        prior = gaussian(VPCosine(-12, 12))
        observation = measured(prior)
        exact = Exact(prior)
        truth = exact.posterior(observation)
        posterior = Posterior(prior, exact, observation)
        (true_mean,), (true_covariance,) = truth.moments()
        scale = true_covariance.diagonal().max().sqrt()

        def error(mean, covariance):
            return float(
                (mean - true_mean).abs().max() / scale
                + (covariance - true_covariance).abs().max() / scale**2
            )

        coarse, fine = (
            affine_moments(self.sampler(n, UniformLogSNR(high=12)), posterior, truth, monkeypatch)
            for n in (self.steps, 2 * self.steps)
        )
        assert error(*coarse) / error(*fine) > 0.8 * 2**self.order
        limit = [f + (f - c) / (2**self.order - 1) for c, f in zip(coarse, fine)]
        assert error(*limit) < 0.01

    def test_a_sample_depends_on_its_seed_alone(self):
        prior = mixture()
        observation = measured(prior, n=2)
        posterior, sampler = Posterior(prior, Exact(prior), observation), self.sampler(6)
        x_0 = sampler(posterior, 3, seed=[5, 9])
        assert x_0.shape == (2, 3, 3)
        close = {
            "rtol": 0,
            "atol": 1e-10,
        }  # batched linear algebra may round differently for another batch
        torch.testing.assert_close(sampler(posterior.take([1]), 3, seed=[9])[0], x_0[1], **close)
        torch.testing.assert_close(sampler(posterior, 2, seed=[5, 9]), x_0[:, :2], **close)
        torch.testing.assert_close(
            sampler(posterior.take([1, 0]), 3, seed=[9, 5]), x_0.flip(0), **close
        )
        for batch_size in (1, 4):
            torch.testing.assert_close(
                sampler(posterior, 3, seed=[5, 9], batch_size=batch_size), x_0, **close
            )
        assert not torch.equal(sampler(posterior, 3, seed=[6, 9])[0], x_0[0])

    def test_evaluations_are_counted_right(self):
        prior, calls = mixture(), []
        denoise = prior.denoise
        prior.denoise = lambda x_t, t: calls.append(t) or denoise(x_t, t)
        sampler = self.sampler(5)
        sampler(self.target(prior), 1)
        assert len(calls) == sampler.evaluations

    def test_one_step_is_the_denoiser(self):
        prior = mixture()
        one = torch.ones(1, dtype=torch.float64)
        seen = []
        initial = prior.initial
        prior.initial = lambda noise: seen.append(initial(noise)) or seen[0]
        target = self.target(prior)
        x_0 = self.sampler(1)(target, 2)[0]
        torch.testing.assert_close(x_0, target.take([0, 0]).denoise(seen[0], one))

    def test_networks_of_tabulated_times_are_asked_at_them(self):
        schedule, seen = VPTabulated.linear(50, 1e-3, 0.4), []
        prior = mixture(schedule)
        self.sampler(7)(self.target(prior), 1, on_step=lambda state: seen.append(state.t))
        t = torch.cat(seen)
        torch.testing.assert_close(schedule.snap(t), t, rtol=0, atol=1e-12)
        with pytest.raises(InvalidInput, match="ask for fewer steps"):
            self.sampler(60)(self.target(prior), 1)

    @pytest.mark.parametrize("count", [0, -1])
    def test_no_sample_at_all_is_refused(self, count):
        with pytest.raises(InvalidInput) as raised:
            self.sampler(3)(self.target(mixture()), count)
        assert raised.value.what == "num_samples"

    @pytest.mark.parametrize("steps", [0, -1])
    def test_a_number_of_steps_that_is_none_is_refused_at_once(self, steps):
        with pytest.raises(InvalidInput, match="at least one step"):
            self.sampler(steps)
