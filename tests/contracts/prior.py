"""What every prior keeps to."""

from __future__ import annotations

from abc import ABC, abstractmethod

import pytest
import torch

from deft.errors import InvalidInput
from deft.noise import Noise
from deft.priors.base import Prior
from deft.priors.rescheduled import Rescheduled
from deft.schedules import EDM, VE, RectifiedFlow, Schedule, VPLinear

OTHERS = [VPLinear, VE, EDM, RectifiedFlow]


class PriorContract(ABC):
    """A test class says `prior()`: small, in float64 if it can, with its context given."""

    tolerance = 1e-9  # of what only rounding separates; a test class in float32 widens it

    @abstractmethod
    def prior(self) -> Prior: ...

    def noisy(self, prior: Prior, n: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
        noise = Noise(range(n), dtype=prior.dtype)
        t = prior.schedule.snap(
            torch.linspace(0.05, 0.8, n, dtype=torch.float64)
        )  # within the ends of every other schedule
        alpha_t, sigma_t = prior.levels(noise.normal(0, prior.event_shape), t)
        return alpha_t * prior.scale * noise.normal(1, prior.event_shape) + sigma_t * noise.normal(
            2, prior.event_shape
        ), t

    def test_shapes_and_precision(self):
        prior = self.prior()
        x_t, t = self.noisy(prior)
        for given in (t, t[:1]):
            x_0_hat = prior.denoise(x_t, given)
            assert x_0_hat.shape == x_t.shape
            assert x_0_hat.dtype == x_t.dtype
        assert prior.initial(Noise([1, 2], dtype=prior.dtype)).shape == (2, *prior.event_shape)

    def test_a_batch_is_its_signals_one_by_one(self):
        prior = self.prior()
        x_t, t = self.noisy(prior)
        together = prior.denoise(x_t, t)
        for i in range(len(x_t)):
            alone = prior.take([i]).denoise(x_t[i : i + 1], t[i : i + 1])
            torch.testing.assert_close(alone[0], together[i], rtol=0, atol=10 * self.tolerance)

    def test_estimate_noise_and_score_say_the_same(self):
        prior = self.prior()
        denoised = prior.at(*self.noisy(prior))
        x_t = denoised.alpha_t * denoised.x_0_hat + denoised.sigma_t * denoised.eps_hat
        torch.testing.assert_close(x_t, denoised.x_t, rtol=0, atol=100 * self.tolerance)
        torch.testing.assert_close(denoised.score * denoised.sigma_t, -denoised.eps_hat)

    def test_it_is_frozen(self):
        assert not any(p.requires_grad for p in self.prior().parameters())

    def test_gradients_pass_where_it_says_so(self):
        prior = self.prior()
        x_t, t = self.noisy(prior)
        x_0_hat = prior.denoise(x_t.requires_grad_(), t)
        assert x_0_hat.requires_grad == prior.differentiable

    def test_rescheduled_twice_is_the_identity(self):
        prior = self.prior()
        x_t, t = self.noisy(prior)
        there = Rescheduled(prior, within(prior.schedule, VE))
        back = Rescheduled(there, prior.schedule)
        torch.testing.assert_close(
            back.denoise(x_t, t), prior.denoise(x_t, t), rtol=0, atol=100 * self.tolerance
        )

    def test_the_same_under_every_schedule(self):
        prior = self.prior()
        x_t, t = self.noisy(prior)
        reference, u = prior.denoise(x_t, t), x_t / prior.levels(x_t, t)[0]
        for other in OTHERS:
            moved = Rescheduled(prior, within(prior.schedule, other))
            s = moved.schedule.time(prior.schedule.log_snr(t))
            torch.testing.assert_close(
                moved.denoise(moved.levels(u, s)[0] * u, s),
                reference,
                rtol=0,
                atol=100 * self.tolerance,
            )

    def test_context_that_it_does_not_know_is_refused(self):
        with pytest.raises(InvalidInput):
            self.prior().given(phase_of_the_moon=torch.zeros(1))

    def test_the_identity_is_that_of_the_weights(self):
        assert self.prior().identity() == self.prior().identity()
        assert set(self.prior().identity()) >= {"name", "hash", "event_shape"}


def within(schedule: Schedule, kind: type[Schedule]) -> Schedule:
    """A schedule of another kind with the ends of `schedule`, or ends within them."""
    low, high = schedule.log_snr_range
    sigma_min, sigma_max = float(torch.tensor(-high / 2).exp()), float(torch.tensor(-low / 2).exp())
    if kind is VE or kind is EDM:
        return kind(sigma_min, sigma_max)
    if kind is RectifiedFlow:
        return RectifiedFlow(max(1 / (1 + sigma_max), sigma_min / (1 + sigma_min)))
    # beta_min / 2 + beta_max / 2 is the total; alpha_1^2 = exp(-total) = sigmoid(low)
    total = float(torch.nn.functional.softplus(torch.tensor(-low)))
    return VPLinear(0.1, 2 * total - 0.1, t_min=max(1e-3, 20 * sigma_min**2))
