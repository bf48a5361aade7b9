from itertools import pairwise

import pytest
import torch

from deft.errors import InvalidInput
from deft.htransforms.exact import Exact, matrix_form
from deft.likelihoods import GaussianLikelihood, Observation
from deft.noise import Noise
from deft.operators.base import ForwardOperator
from deft.priors.gaussian_mixture import GaussianMixture
from deft.samplers.daps import DAPS, Karras
from deft.schedules import EDM, VE, VPCosine, VPLinear
from deft.steps import State
from tests.closed_form import DOUBLE, gaussian, measured
from tests.contracts.conditional_sampler import ConditionalSamplerContract
from tests.samplers.affine import Plain, moments


class TestDAPS(ConditionalSamplerContract):
    def sampler(self, steps, grid=None):
        return DAPS(steps, ode_steps=3, langevin_steps=4, grid=grid)


def test_the_published_step():
    """Algorithm 1 in the paper's variance-exploding form: five Euler steps of the ODE, Langevin
    steps, noise.
    """
    prior = gaussian(VE())
    observation = measured(prior, n=2, sigma_y=0.3)
    posterior, noise = (prior, observation), Noise([1, 2], dtype=DOUBLE)
    sampler = DAPS(
        10, ode_steps=5, langevin_steps=13, step_size=2e-5, delta=0.02, noise_level=0.015
    )
    sigma, sigma_next = 3.0, 1.7
    t, s = (
        prior.schedule.time_of_sigma(torch.tensor([v], dtype=DOUBLE)) for v in (sigma, sigma_next)
    )
    x_t = torch.randn(2, 3, dtype=DOUBLE)
    x_s = sampler.step(*posterior, State(x_t, t, 4), s, noise).x_t

    x = x_t
    levels = [
        (sigma ** (1 / 7) + i / 4 * (0.01 ** (1 / 7) - sigma ** (1 / 7))) ** 7 for i in range(5)
    ] + [0.0]
    for now, then in pairwise(levels):
        score = (
            prior.denoise(x, prior.schedule.time_of_sigma(torch.tensor([now], dtype=DOUBLE))) - x
        ) / now**2
        x = x + (now - then) * now * score  # dx = -sigma score dsigma
    x_0_hat, x_0 = x, x
    a, y = matrix_form(observation, (3,))
    eta = 2e-5 * (0.02 + 6 / 10 * (1 - 0.02))  # four of ten levels are done
    draws = torch.cat(
        [noise.stream(5).normal(0, (10, 3)), noise.stream(5).normal(10, (3, 3))], dim=1
    )
    for j in range(13):
        residual = (a @ x_0[..., None])[..., 0] - y
        slope = (x_0 - x_0_hat) / sigma**2 + (a.mT @ residual[..., None])[..., 0] / 0.015**2
        x_0 = x_0 - eta * slope + (2 * eta) ** 0.5 * draws[:, j]
    torch.testing.assert_close(x_s, x_0 + sigma_next * noise.normal(5, (3,)))


def test_the_grid_and_the_cost_are_published():
    grid = Karras().times(VE(0.01, 200.0), 200)
    sigma = VE(0.01, 200.0).sigma(grid)
    expected = (
        100 ** (1 / 7) + torch.arange(200, dtype=DOUBLE) / 199 * (0.1 ** (1 / 7) - 100 ** (1 / 7))
    ) ** 7
    torch.testing.assert_close(sigma[1:], expected[1:])
    assert float(grid[0]) == 1.0
    torch.testing.assert_close(
        EDM().sigma(Karras(0.002, 80.0).times(EDM(), 18)),
        EDM().sigma(torch.linspace(1, 0, 18, dtype=DOUBLE)),
    )
    assert bool((Karras().times(VPLinear(), 50).diff() < 0).all())
    assert DAPS().evaluations == 1000


def ode_end(prior: Plain, x_t, t):
    """m + C^(1/2) (alpha^2 C + sigma^2 I)^(-1/2) (x_t - alpha m): where the ODE of a Gaussian
    ends.
    """
    alpha, sigma = prior.schedule.alpha(t), prior.schedule.sigma(t)
    c = prior.variances
    return prior.mean + prior.function(
        x_t - alpha * prior.mean, (c / (alpha**2 * c + sigma**2)).sqrt()
    )


def test_the_ode_is_solved_to_first_order():
    prior, t = Plain(gaussian(EDM())), torch.tensor([0.5], dtype=DOUBLE)
    x_t = torch.randn(4, 3, dtype=DOUBLE)
    coarse, fine = (
        (DAPS(2, n)._solve(prior, x_t, t) - ode_end(prior, x_t, t)).abs().max() for n in (40, 80)
    )
    assert 1.8 < float(coarse / fine) < 2.2
    torch.testing.assert_close(DAPS(2, 1)._solve(prior, x_t, t), prior.denoise(x_t, t))


def test_the_langevin_dynamics_come_to_rest_at_their_target(monkeypatch):
    """N(x_0_hat, r^2) p(y | x_0) with the precision L: its mean, and with steps of size h the
    covariance (L - h L^2 / 2)^{-1}.
    """
    observation = measured(gaussian(), sigma_y=0.4)
    a, y = (value[0] for value in matrix_form(observation, (3,)))
    x_0_hat, r, h, n = torch.randn(3, dtype=DOUBLE), 0.5, 0.02, 200
    precision = torch.eye(3, dtype=DOUBLE) / r**2 + a.T @ a / 0.4**2
    unit = torch.zeros(1 + 3 * n, n, 3, dtype=DOUBLE)
    unit[1:] = torch.eye(3 * n, dtype=DOUBLE).reshape(-1, n, 3)
    monkeypatch.setattr(Noise, "normal", lambda self, step, shape: unit[:, step : step + 10])
    many, start = observation.take([0] * len(unit)), x_0_hat.expand(len(unit), 3)
    posterior = (Plain(gaussian()), many)
    x_0 = DAPS(2, langevin_steps=n, noise_level=None)._langevin(
        *posterior, start, torch.full((1, 1), r, dtype=DOUBLE), h, Noise([0], dtype=DOUBLE)
    )
    columns = x_0[1:] - x_0[0]
    torch.testing.assert_close(
        x_0[0], torch.linalg.solve(precision, x_0_hat / r**2 + a.T @ y / 0.4**2), rtol=0, atol=1e-6
    )
    torch.testing.assert_close(
        columns.T @ columns,
        torch.linalg.inv(precision - h * precision @ precision / 2),
        rtol=0,
        atol=1e-6,
    )


@pytest.mark.parametrize("ode", ["one step", "solved"])
def test_slow_levels_with_dynamics_at_rest(ode, monkeypatch):
    """One ODE step: the posterior. The ODE solved: the posterior of the prior's square root, a
    Gaussian of twice the covariance.
    """
    prior = gaussian(VPCosine(-10, 10))
    observation = measured(prior, sigma_y=0.5, rows=1)
    mean, covariance = prior.moments()
    counted = (
        prior if ode == "one step" else GaussianMixture(mean, 2 * covariance, None, prior.schedule)
    )
    (true_mean,), (true_covariance,) = Exact(counted).posterior(observation).moments()
    a, y = (value[0] for value in matrix_form(observation, (3,)))

    def rest(self, prior, observation, x_0_hat, r_t, size, noise):
        precision = torch.eye(3, dtype=DOUBLE) / r_t**2 + a.T @ a / 0.5**2
        centre = torch.linalg.solve(precision, (x_0_hat / r_t**2 + a.T @ y / 0.5**2).T).T
        return centre + noise.normal(0, (3,)) @ torch.linalg.cholesky(torch.linalg.inv(precision)).T

    monkeypatch.setattr(DAPS, "_langevin", rest)
    if ode == "solved":
        monkeypatch.setattr(DAPS, "_solve", lambda self, prior, x_t, t: ode_end(prior, x_t, t))
    posterior, grid = (Plain(prior), observation), Karras(low=0.02, high=10.0)
    coarse, fine = (
        moments(DAPS(n, 1, noise_level=None, grid=grid), posterior, monkeypatch) for n in (200, 400)
    )
    mean, covariance = (2 * f - c for c, f in zip(coarse, fine))
    torch.testing.assert_close(mean, true_mean, rtol=0, atol=0.01)
    torch.testing.assert_close(
        covariance, true_covariance, rtol=0, atol=0.02 * float(true_covariance.max())
    )  # second order is left


class Cubic(ForwardOperator):
    """A(x) = x + x^3 / 10, which is not linear."""

    def forward(self, x_0):
        return x_0 + x_0**3 / 10

    def lift(self, y):
        return y


class Rounding(ForwardOperator):
    """An operator without a derivative."""

    def forward(self, x_0):
        return x_0.detach().round()

    def lift(self, y):
        return y


def test_an_operator_that_is_not_linear_is_differentiated():
    """x_0 is pulled to the y that it explains: the misfit is that of the noise."""
    prior = gaussian()
    x_0 = prior.sample(Noise([3], dtype=DOUBLE))
    observation = Observation(Cubic()(x_0), GaussianLikelihood(Cubic(), 0.1))
    sampler = DAPS(30, 2, 40, step_size=2e-3, noise_level=None, grid=Karras(low=0.05))
    samples = sampler(prior, observation, 20, seed=1)[0]
    assert (
        0.7
        < float(
            observation.repeat(20)
            .likelihood.misfit(samples, observation.repeat(20).y)
            .square()
            .mean()
            .sqrt()
        )
        < 1.3
    )


def test_what_it_asks_for():
    prior = gaussian()
    y = torch.zeros(1, 3, dtype=DOUBLE)
    posterior = (prior, Observation(y, GaussianLikelihood(Rounding(), 0.1)))
    with pytest.raises(InvalidInput, match="Rounding is neither"):
        DAPS(3)(*posterior, 1)
    exact = (prior, measured(prior, sigma_y=0.0))
    with pytest.raises(InvalidInput, match="give DAPS a noise_level > 0"):
        DAPS(3, noise_level=None)(*exact, 1)
    with pytest.raises(InvalidInput, match="diverged in step 1 of 5, with step_size = 1"):
        DAPS(5, step_size=1.0)(*exact, 1)
    for arguments in (
        {"ode_steps": 0},
        {"langevin_steps": -1},
        {"step_size": 0.0},
        {"delta": 2.0},
        {"noise_level": 0.0},
    ):
        with pytest.raises(InvalidInput, match=next(iter(arguments))):
            DAPS(3, **arguments)
    with pytest.raises(InvalidInput, match="low < high"):
        Karras(1.0, 0.5)
