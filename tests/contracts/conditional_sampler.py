"""What every sampler that conditions by itself keeps to."""

from __future__ import annotations

from abc import ABC, abstractmethod

import pytest
import torch
from torch import Tensor

from deft.errors import InvalidInput
from deft.htransforms.base import NoConditioning
from deft.htransforms.ddnm import DDNM
from deft.likelihoods import GaussianLikelihood, Likelihood, Observation
from deft.noise import Noise
from deft.operators.inpainting import Inpainting
from deft.priors.gaussian_mixture import GaussianMixture
from deft.samplers.grids import TimeGrid
from deft.samplers.posterior import PosteriorSampler
from deft.schedules import EDM, VE, RectifiedFlow, Schedule, VPCosine, VPLinear, VPTabulated
from deft.steps import State
from tests.closed_form import DOUBLE

SCHEDULES = [VPLinear(t_min=1e-4), VE(), EDM(), RectifiedFlow()]


class ConditionalSamplerContract(ABC):
    """A test class says `sampler(steps, grid)`, and the observation if a masked image does not
    do.
    """

    @abstractmethod
    def sampler(self, steps: int, grid: TimeGrid | None = None) -> PosteriorSampler: ...

    def prior(self, schedule: Schedule | None = None) -> GaussianMixture:
        """Two smooth Gaussians over images of 4 x 4 pixels."""
        place = torch.cartesian_prod(torch.arange(4.0), torch.arange(4.0)).double()
        kernel = torch.exp(-torch.cdist(place, place) / 2)
        means = torch.stack([0.8 * torch.ones(1, 4, 4), -0.5 * torch.ones(1, 4, 4)]).double()
        return GaussianMixture(
            means, torch.stack([0.3 * kernel, 0.1 * kernel]), None, schedule or VPLinear()
        )

    def observation(self, n: int = 1, sigma_y: float | Tensor = 0.2) -> Observation:
        """Pixels of images at random, other ones for each."""
        noise = Noise(range(n), dtype=DOUBLE)
        likelihood = GaussianLikelihood(
            Inpainting((noise.uniform(7, (1, 4, 4)) < 0.5).double()), sigma_y
        )
        return Observation(
            likelihood.sample(self.prior().sample(noise), noise.stream(1)), likelihood
        )

    def test_a_sample_depends_on_its_seed_alone(self):
        prior, observation, sampler = self.prior(), self.observation(2), self.sampler(6)
        x_0 = sampler(prior, observation, 3, seed=[5, 9])
        assert x_0.shape == (2, 3, *prior.event_shape)
        assert bool(torch.isfinite(x_0).all())
        close = {
            "rtol": 0,
            "atol": 1e-9,
        }  # batched linear algebra may round differently for another batch
        torch.testing.assert_close(
            sampler(prior, observation.take([1]), 3, seed=[9])[0], x_0[1], **close
        )
        torch.testing.assert_close(sampler(prior, observation, 2, seed=[5, 9]), x_0[:, :2], **close)
        torch.testing.assert_close(
            sampler(prior, observation.take([1, 0]), 3, seed=[9, 5]), x_0.flip(0), **close
        )
        for batch_size in (1, 4):
            torch.testing.assert_close(
                sampler(prior, observation, 3, seed=[5, 9], batch_size=batch_size), x_0, **close
            )
        assert not torch.equal(sampler(prior, observation, 3, seed=[6, 9])[0], x_0[0])

    @pytest.mark.parametrize("steps", [1, 2, 12])
    def test_evaluations_are_counted_right(self, steps):
        prior, sampler, calls = self.prior(), self.sampler(steps), []
        denoise = prior.denoise
        prior.denoise = lambda x_t, t: (
            calls.append(x_t.requires_grad and torch.is_grad_enabled()) or denoise(x_t, t)
        )
        sampler(prior, self.observation(), 2)
        assert len(calls) == sampler.evaluations
        assert not any(calls)  # the prior is never differentiated

    @pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: type(s).__name__)
    def test_a_step_is_the_same_under_every_schedule(self, schedule):
        """x_t / alpha_t and the log-SNR say all: published step sizes need no other conversion."""
        home = VPCosine()
        log_snr = torch.tensor([-1.0, 1.0], dtype=DOUBLE)
        x, noise = torch.randn(2, 1, 4, 4, dtype=DOUBLE), Noise([3, 4], dtype=DOUBLE)
        found = []
        for own in (home, schedule):
            t, s = own.time(log_snr).split(1)
            state = self.sampler(4).step(
                self.prior(own), self.observation(2), self.state(x, own, t), s, noise
            )
            found.append(self.signal(state, own))
        torch.testing.assert_close(
            found[1], found[0], rtol=0, atol=1e-5
        )  # times go through the inverse of the schedule

    def state(self, x: Tensor, schedule, t: Tensor) -> State:
        """The state whose x_t / alpha_t is x."""
        return State(schedule.alpha(t) * x, t)

    def signal(self, state: State, schedule) -> Tensor:
        """x_s / alpha_s."""
        return state.x_t / schedule.alpha(state.t)

    def test_networks_of_tabulated_times_are_asked_at_them(self):
        schedule, seen = VPTabulated.linear(50, 1e-3, 0.4), []
        prior = self.prior(schedule)
        denoise = prior.denoise
        prior.denoise = lambda x_t, t: seen.append(t) or denoise(x_t, t)
        self.sampler(7)(prior, self.observation(), 1)
        t = torch.cat(seen)
        torch.testing.assert_close(schedule.snap(t), t, rtol=0, atol=1e-12)

    def test_no_sample_at_all_is_refused(self):
        with pytest.raises(InvalidInput) as raised:
            self.sampler(3)(self.prior(), self.observation(), 0)
        assert raised.value.what == "num_samples"

    @pytest.mark.parametrize("steps", [0, -1])
    def test_a_number_of_steps_that_is_none_is_refused_at_once(self, steps):
        with pytest.raises(InvalidInput, match="at least one step"):
            self.sampler(steps)

    def test_it_asks_for_an_observation_and_no_h(self):
        prior = self.prior()
        observation = self.observation()
        self.sampler(3).check(prior, observation)
        self.sampler(3).check(prior, observation, NoConditioning())
        prior.denoise = self.evaluated
        for attempt in (
            lambda: self.sampler(3).draw(prior, 1),
            lambda: self.sampler(3).draw(prior, 1, observation=observation, h_transform=DDNM()),
        ):
            with pytest.raises(InvalidInput, match="conditions by itself"):
                attempt()

    def test_a_draw_is_a_call(self):
        prior, observation, sampler = self.prior(), self.observation(2), self.sampler(3)
        assert torch.equal(
            sampler.draw(prior, 2, observation=observation, seed=4).x_0,
            sampler(prior, observation, 2, seed=4),
        )

    def evaluated(self, x_t: Tensor, t: Tensor) -> Tensor:
        raise AssertionError("the prior was evaluated before it was refused")

    def test_noise_that_is_not_gaussian_is_refused(self):
        class Other(Likelihood):
            operator, sigma_y = self.observation().operator, torch.ones(1)

            def log_prob(self, x_0, y): ...
            def sample(self, x_0, noise): ...
            def guidance(self, x_0_hat, r_t, y): ...
            def take(self, index):
                return self

        prior = self.prior()
        prior.denoise = self.evaluated
        with pytest.raises(InvalidInput, match="assumes Gaussian noise"):
            self.sampler(3)(prior, Observation(self.observation().y, Other()), 1)
