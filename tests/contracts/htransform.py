"""What every h-transform keeps to."""

from __future__ import annotations

from abc import ABC, abstractmethod

import pytest
import torch

from deft.errors import InvalidInput
from deft.htransforms.base import HTransform
from deft.likelihoods import GaussianLikelihood, Observation
from deft.noise import Noise
from deft.operators.inpainting import Inpainting
from deft.posterior import Posterior
from deft.priors.base import Prior
from deft.priors.gaussian_mixture import GaussianMixture
from deft.samplers.ddim import DDIM
from deft.samplers.grids import UniformLogSNR
from deft.schedules import VPLinear


class HTransformContract(ABC):
    """A test class says `h_transform(prior)`, and, if it needs another than the mixture of
    images here, `prior()`.
    """

    tolerance = 1e-9  # of what only rounding separates; a test class in float32 widens it
    # whether a measurement with a huge sigma_y is ignored, as it should be; DPS and DDNM do not
    # look
    reads_noise_level = True
    takes_noiseless = True  # whether sigma_y = 0 is allowed
    # whether a measurement of nothing leaves the prior's estimate alone; a network of its own need
    # not
    builds_on_the_prior = True

    @abstractmethod
    def h_transform(self, prior: Prior) -> HTransform: ...

    def prior(self) -> Prior:
        return images()

    def observation(
        self, prior: Prior, n: int, sigma_y: float | torch.Tensor = 0.2, seed: int = 0
    ) -> Observation:
        """Pixels at random, other ones for each signal."""
        noise = Noise(range(seed, seed + n), dtype=prior.dtype)
        mask = (noise.uniform(7, (1, *prior.event_shape[1:])) < 0.5).to(prior.dtype)
        x_0 = prior.scale * noise.normal(8, prior.event_shape)
        likelihood = GaussianLikelihood(Inpainting(mask), sigma_y)
        return Observation(likelihood.sample(x_0, noise.stream(1)).to(prior.dtype), likelihood)

    def shift(
        self, prior: Prior, observation: Observation, t: float | torch.Tensor
    ) -> torch.Tensor:
        h_transform = self.h_transform(prior)
        n = len(observation)
        noise = Noise(range(n), dtype=prior.dtype)
        t = prior.schedule.snap(torch.as_tensor(t, dtype=torch.float64).reshape(-1))
        alpha_t, sigma_t = prior.levels(torch.empty(n, *prior.event_shape, dtype=prior.dtype), t)
        x_t = alpha_t * prior.scale * noise.normal(1, prior.event_shape) + sigma_t * noise.normal(
            2, prior.event_shape
        )
        with torch.no_grad():
            return Posterior(prior, h_transform, observation).parts(x_t, t)[1].detach()

    def times(self, prior: Prior) -> torch.Tensor:
        """Where it is asked; a method that is tabulated for a grid says another."""
        return torch.tensor([1.0, 0.7, 0.4, 0.1], dtype=torch.float64)

    def test_zero_where_nothing_is_measured(self):
        if not self.builds_on_the_prior:
            return
        prior = self.prior()
        nothing = Inpainting(torch.zeros(1, 1, *prior.event_shape[1:], dtype=prior.dtype))
        y = torch.zeros(2, *prior.event_shape, dtype=prior.dtype)
        for t in self.times(prior):
            shift = self.shift(prior, Observation(y, GaussianLikelihood(nothing, 0.1)), t)
            torch.testing.assert_close(
                shift, torch.zeros_like(shift), rtol=0, atol=10 * self.tolerance
            )

    def test_zero_where_the_measurement_is_all_noise(self):
        if not self.reads_noise_level:
            return
        prior = self.prior()
        for t in self.times(prior):
            # y = 1e6 eps; the shift falls as r_t^2 / sigma_y
            shift = self.shift(prior, self.observation(prior, 2, sigma_y=1e6), t)
            assert float(shift.abs().max()) < 1e-4

    def test_finite_at_every_time_with_and_without_noise(self):
        prior = self.prior()
        for sigma_y in (0.0, 0.2) if self.takes_noiseless else (0.2,):
            for t in self.times(prior):
                assert bool(
                    self.shift(prior, self.observation(prior, 2, sigma_y), t).isfinite().all()
                )

    def test_a_batch_is_its_signals_one_by_one(self):
        prior = self.prior()
        observation = self.observation(prior, 3, torch.tensor([0.05, 0.2, 1.0]))
        h_transform = self.h_transform(prior)
        t = self.times(prior)[1:2]
        x_t = Noise(range(3), dtype=prior.dtype).normal(1, prior.event_shape)
        together = Posterior(prior, h_transform, observation).denoise(x_t, t)
        for i in range(3):
            alone = Posterior(prior, h_transform, observation.take([i])).denoise(x_t[i : i + 1], t)
            torch.testing.assert_close(alone[0], together[i], rtol=0, atol=10 * self.tolerance)

    def test_a_sample_depends_on_its_seed_alone(self):
        prior = self.prior()
        grid = UniformLogSNR(high=4)
        posterior = Posterior(prior, self.sampled(prior, grid), self.observation(prior, 2))
        sampler = DDIM(4, eta=1.0, grid=grid)
        close = {"rtol": 0, "atol": 1000 * self.tolerance}
        x_0 = sampler(posterior, 2, seed=[5, 9])
        torch.testing.assert_close(sampler(posterior.take([1]), 2, seed=[9])[0], x_0[1], **close)
        torch.testing.assert_close(sampler(posterior, 2, seed=[5, 9], batch_size=3), x_0, **close)

    def sampled(self, prior: Prior, grid: UniformLogSNR) -> HTransform:
        """What goes with DDIM(4, eta=1, grid); a method that is tabulated for a grid says
        another.
        """
        return self.h_transform(prior)

    def test_the_score_of_h_is_the_shift_in_other_units(self):
        prior = self.prior()
        observation, h_transform = self.observation(prior, 2), self.h_transform(prior)
        t = self.times(prior)[1:2]
        x_t = Noise(range(2), dtype=prior.dtype).normal(1, prior.event_shape).requires_grad_()
        denoised = prior.at(x_t, t)
        if h_transform.asks_elsewhere:
            with pytest.raises(InvalidInput, match="asks the prior at another point"):
                h_transform.grad_log_h(denoised, observation)
            return
        grad_log_h = h_transform.grad_log_h(denoised, observation)
        shift = h_transform.shift(prior.at(x_t, t), observation)
        torch.testing.assert_close(denoised.sigma_t**2 / denoised.alpha_t * grad_log_h, shift)


def images() -> GaussianMixture:
    """Two smooth Gaussians over images of two channels and 4 x 4 pixels."""
    place = torch.cartesian_prod(torch.arange(4.0), torch.arange(4.0)).double()
    kernel = torch.exp(-torch.cdist(place, place) / 2)
    covariance = torch.block_diag(kernel, kernel)
    means = torch.stack([0.8 * torch.ones(2, 4, 4), -0.5 * torch.ones(2, 4, 4)]).double()
    return GaussianMixture(
        means, torch.stack([0.3 * covariance, 0.1 * covariance]), None, VPLinear()
    )
