"""The likelihood of photon counts (deft.likelihoods.PoissonLikelihood)."""

import pytest
import torch
from torch.distributions import Poisson

from deft.errors import InvalidInput
from deft.likelihoods import GaussianLikelihood, Observation, PoissonLikelihood
from deft.noise import Noise
from deft.operators import InUnits, Tomography, Transmission, views
from tests.contracts.operator import dense

SHAPE = (1, 6, 5)


@pytest.fixture(autouse=True)
def _double_precision():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def rays():
    return InUnits(Tomography(SHAPE[1:], views(8), pixel=0.2), scale=0.5, offset=0.5)


def observed(photons, batch=3):
    x_0 = 2 * torch.rand(batch, *SHAPE) - 1
    likelihood = PoissonLikelihood(Transmission(rays(), photons))
    return x_0, likelihood, likelihood.sample(x_0, Noise(range(batch)))


def test_it_is_poissons_law():
    x_0, likelihood, y = observed(torch.tensor([5.0, 100.0, 1e4]))
    x = x_0 + 0.1 * torch.randn_like(x_0)
    torch.testing.assert_close(
        likelihood.log_prob(x, y), Poisson(likelihood.operator(x)).log_prob(y).flatten(1).sum(1)
    )


def test_its_gradient():
    x_0, likelihood, y = observed(50.0)
    x = (x_0 + 0.1 * torch.randn_like(x_0)).requires_grad_()
    torch.testing.assert_close(
        torch.autograd.grad(likelihood.log_prob(x, y).sum(), x)[0], likelihood.gradient(x, y)
    )


def test_draws_have_its_mean_and_variance():
    """4000 draws of each: the mean is known to sqrt(rate / 4000)."""
    x_0 = (2 * torch.rand(1, *SHAPE) - 1).expand(4000, *SHAPE)
    likelihood = PoissonLikelihood(Transmission(rays(), 20.0))
    y, rate = likelihood.sample(x_0, Noise(range(4000))), likelihood.operator(x_0[:1])[0]
    assert (y == y.round()).all()
    assert ((y.mean(0) - rate).abs() < 5 * (rate / 4000).sqrt()).all()
    assert abs((y.var(0) / rate).mean() - 1) < 0.05


def test_a_draw_depends_on_its_seed_alone():
    x_0, likelihood, y = observed(torch.tensor([5.0, 100.0, 1e4]))
    assert torch.equal(likelihood.take([2]).sample(x_0[2:], Noise([2])), y[2:])


@pytest.mark.parametrize("r_t", [0.05, 0.5])
def test_the_guidance_is_that_of_weighted_least_squares(r_t):
    x_0, likelihood, y = observed(300.0)
    x_0_hat = x_0 + r_t * torch.randn_like(x_0)
    guidance = likelihood.guidance(x_0_hat, torch.tensor([r_t]), y)
    b = dense(rays().linear, SHAPE)
    for i in range(3):
        w = y[i].flatten() + 0.5
        residual = (300 / w).log() - rays()(x_0_hat[i : i + 1]).flatten()
        g = torch.linalg.solve(
            r_t**2 * b.T @ (w[:, None] * b) + torch.eye(b.shape[1]), b.T @ (w * residual)
        )
        torch.testing.assert_close(guidance[i].flatten(), r_t * g, atol=1e-5, rtol=1e-5)


def test_many_photons_are_gaussian_noise_on_the_integrals():
    """Behind nearly nothing all rays are as noisy: sigma_y = 1 / sqrt(photons)."""
    x_0 = 0.001 * torch.rand(2, *SHAPE)
    operator = Tomography(SHAPE[1:], views(8))
    likelihood = PoissonLikelihood(Transmission(operator, 1e8))
    y = likelihood.sample(x_0, Noise([0, 1]))
    gaussian = GaussianLikelihood(operator, likelihood.sigma_y)
    r_t, x_0_hat = torch.tensor([1e-4]), x_0 + 1e-4 * torch.randn_like(x_0)
    expected = gaussian.guidance(x_0_hat, r_t, likelihood.operator.integrals(y))
    torch.testing.assert_close(likelihood.guidance(x_0_hat, r_t, y), expected, atol=0.02, rtol=0.02)


@pytest.mark.parametrize("photons", [1.0, 30.0, 1e5])
def test_guidance_is_of_order_one(photons):
    """Counts of zero included."""
    x_0, likelihood, y = observed(photons, batch=10)
    for r_t in (0.02, 0.3, 1.0):
        guidance = likelihood.guidance(x_0 + r_t * torch.randn_like(x_0), torch.tensor([r_t]), y)
        assert guidance.isfinite().all()
        assert guidance.std() < 1.2


def test_the_truth_fits():
    x_0, likelihood, y = observed(200.0, batch=20)
    assert abs(likelihood.misfit(x_0, y).mean() - 1) < 0.05


def test_an_observation_of_counts():
    x_0, likelihood, y = observed(torch.tensor([200.0, 400.0, 800.0]))
    observation = Observation(y, likelihood)
    torch.testing.assert_close(observation.sigma_y, torch.tensor([200.0, 400.0, 800.0]).rsqrt())
    both = observation.repeat(2).take([4])
    torch.testing.assert_close(both.residual(x_0[2:]), observation.residual(x_0)[2:])
    none = observation.take([])
    assert none.likelihood.guidance(x_0[:0], torch.ones(1), none.y).shape == (0, *SHAPE)
    assert none.likelihood.sample(x_0[:0], Noise([])).shape == none.y.shape


def test_what_is_no_count():
    x_0, likelihood, y = observed(200.0)
    y[1, 0, 0, 0] = -1.0
    for use in (likelihood.log_prob, likelihood.gradient):
        with pytest.raises(InvalidInput, match=r"the first, -1, in signal 1 of the batch"):
            use(x_0, y)
    with pytest.raises(InvalidInput, match="belong to a GaussianLikelihood"):
        likelihood.guidance(x_0, torch.ones(1), y)
