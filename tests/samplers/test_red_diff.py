import pytest
import torch

from deft.errors import InvalidInput
from deft.htransforms.exact import Exact, matrix_form
from deft.likelihoods import GaussianLikelihood, Observation
from deft.noise import Noise
from deft.operators.base import ForwardOperator
from deft.samplers.red_diff import REDDiff
from deft.schedules import VPCosine
from deft.steps import State
from tests.closed_form import DOUBLE, gaussian, measured
from tests.contracts.conditional_sampler import ConditionalSamplerContract


class TestREDDiff(ConditionalSamplerContract):
    def sampler(self, steps, grid=None):
        return REDDiff(steps, grid=grid)

    def state(self, x, schedule, t):
        return State(x, t)

    def signal(self, state, schedule):
        return state.x_t


def test_the_published_step():
    """The published step: the loss with its stopped gradient, differentiated, and torch's Adam;
    three steps and the last.
    """
    prior = gaussian(VPCosine())
    observation = measured(prior, n=2, sigma_y=0.3)
    noise = Noise([1, 2], dtype=DOUBLE)
    sampler = REDDiff(4, weight=0.4, learning_rate=0.05)
    posterior, grid = (prior, observation), sampler.grid.times(prior.schedule, 4)
    state = State(sampler.start(*posterior, noise), grid[:1])
    a, y = matrix_form(observation, (3,))
    mu = torch.linalg.pinv(a) @ y[..., None]
    torch.testing.assert_close(state.x_t, mu[..., 0])

    mu = state.x_t.clone().requires_grad_()
    adam = torch.optim.Adam([mu], lr=0.05, betas=(0.9, 0.99))
    for k, t in enumerate(grid[:, None]):
        root_alpha_bar = prior.schedule.alpha(t)
        sigma_t = (1 - root_alpha_bar**2).sqrt()
        eps = noise.normal(k + 1, (3,))
        x_t = (root_alpha_bar * mu + sigma_t * eps).detach()
        eps_hat = (x_t - root_alpha_bar * prior.denoise(x_t, t)) / sigma_t
        fit = (y - (a @ mu[..., None])[..., 0]).square().sum()
        loss = fit + 0.4 * sigma_t / root_alpha_bar * ((eps_hat - eps) * mu).sum()
        adam.zero_grad()
        loss.backward()
        adam.step()
    for s in grid[1:]:
        state = sampler.step(*posterior, state, s[None], noise)
    torch.testing.assert_close(
        sampler.finish(*posterior, state, noise), mu.detach(), rtol=0, atol=1e-7
    )  # Adam's 1e-8


def test_it_ends_at_the_likeliest_signal_that_meets_the_measurement():
    """argmin -log p(mu) with A mu = y, the posterior's mean without noise: whatever sigma_y is,
    and with less spread than the posterior.
    """
    prior = gaussian()
    observation = measured(prior, sigma_y=0.5, seed=2)
    (posterior_mean,), (covariance,) = Exact(prior).posterior(observation).moments()
    exactly = Observation(observation.y, GaussianLikelihood(observation.operator, 0.0))
    (likeliest,), _ = Exact(prior).posterior(exactly).moments()
    x_0 = REDDiff(2000, learning_rate=0.02)(prior, observation, 30, seed=1)[0]
    assert float((likeliest - posterior_mean).abs().max()) > 0.02
    torch.testing.assert_close(
        x_0.mean(0), likeliest, rtol=0, atol=0.02
    )  # the spread below over sqrt(30), and a rest of the annealing
    assert bool((x_0.std(0) < 0.25 * covariance.diagonal().sqrt()).all())
    assert float(observation.repeat(30).residual(x_0).abs().max()) < 0.05 * 0.5


class Rounding(ForwardOperator):
    """An operator without a derivative."""

    def forward(self, x_0):
        return x_0.detach().round()

    def lift(self, y):
        return y


def test_what_it_asks_for():
    prior = gaussian()
    observation = Observation(torch.zeros(1, 3, dtype=DOUBLE), GaussianLikelihood(Rounding(), 0.1))
    with pytest.raises(InvalidInput, match="Rounding is neither"):
        REDDiff(3)(prior, observation, 1)
    with pytest.raises(InvalidInput, match="weight"):
        REDDiff(3, weight=-1.0)
    with pytest.raises(InvalidInput, match="learning_rate"):
        REDDiff(3, learning_rate=0.0)
