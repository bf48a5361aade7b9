import pytest
import torch

from deft.errors import InvalidInput
from deft.htransforms.ddnm import DDNM
from deft.htransforms.exact import Exact, matrix_form
from deft.likelihoods import GaussianLikelihood, Observation
from deft.noise import Noise
from deft.operators.base import ForwardOperator
from deft.operators.units import InUnits
from deft.samplers.diffpir import DiffPIR, RootTime
from deft.samplers.grids import UniformLogSNR
from deft.schedules import VPCosine
from deft.steps import State
from tests.closed_form import DOUBLE, gaussian, measured
from tests.contracts.conditional_sampler import ConditionalSamplerContract
from tests.samplers.affine import Plain, moments


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


class TestDiffPIR(ConditionalSamplerContract):
    def sampler(self, steps, grid=None):
        return DiffPIR(steps, grid=grid)


def test_the_published_step():
    """The published step, with the data sub-problem written as a linear system, (A^T A + rho I)
    x = A^T y + rho x_0_hat.
    """
    prior = gaussian(VPCosine())
    observation = measured(prior, n=2, sigma_y=torch.tensor([0.1, 0.4], dtype=DOUBLE))
    t, s = torch.tensor([0.6], dtype=DOUBLE), torch.tensor([0.5], dtype=DOUBLE)
    x_t, noise = torch.randn(2, 3, dtype=DOUBLE), Noise([1, 2], dtype=DOUBLE)
    sampler = DiffPIR(2, weight=7.0, zeta=0.3)
    x_s = sampler.step(prior, observation, State(x_t, t, 4), s, noise).x_t

    a, y = matrix_form(observation, (3,))
    root_alpha_bar, root_alpha_bar_s = prior.schedule.alpha(t), prior.schedule.alpha(s)
    bar_sigma = (1 - root_alpha_bar**2).sqrt() / root_alpha_bar
    for i in range(2):
        rho = 7.0 * observation.sigma_y[i] ** 2 / bar_sigma**2
        x_0 = prior.denoise(x_t, t)[i]
        x_0 = torch.linalg.solve(
            a[i].T @ a[i] + rho * torch.eye(3, dtype=DOUBLE), a[i].T @ y[i] + rho * x_0
        )
        eps_hat = (x_t[i] - root_alpha_bar * x_0) / (1 - root_alpha_bar**2).sqrt()
        fresh = noise.normal(5, (3,))[i]
        expected = root_alpha_bar_s * x_0 + (1 - root_alpha_bar_s**2).sqrt() * (
            0.7**0.5 * eps_hat + 0.3**0.5 * fresh
        )
        torch.testing.assert_close(x_s[i], expected)


@pytest.mark.parametrize(("weight", "zeta"), [(3.0, 0.1), (1.0, 1.0)])
def test_slow_steps_sample_a_power_of_the_posterior(weight, zeta, monkeypatch):
    """p(x_0) p(y | x_0)^(1 / lambda) to the power 2 / (1 + sqrt(1 - zeta)): its mean, and its
    covariance over that power, to first order in the step.
    """
    prior = gaussian(VPCosine(-10, 10))
    observation = measured(prior, sigma_y=0.5, seed=2)
    weaker = Observation(observation.y, GaussianLikelihood(observation.operator, weight**0.5 * 0.5))
    (true_mean,), (true_covariance,) = Exact(prior).posterior(weaker).moments()
    posterior, grid = (Plain(prior), observation), UniformLogSNR(low=-4, high=9)
    coarse, fine = (
        moments(DiffPIR(n, weight, zeta, grid), posterior, monkeypatch) for n in (300, 600)
    )
    mean, covariance = (2 * f - c for c, f in zip(coarse, fine))
    power = 2 / (1 + (1 - zeta) ** 0.5)
    torch.testing.assert_close(mean, true_mean, rtol=0, atol=0.01)
    torch.testing.assert_close(
        power * covariance, true_covariance, rtol=0, atol=0.01
    )  # entries up to 0.4; second order in the step is left
    assert float((power * fine[1] - true_covariance).abs().max()) < 0.65 * float(
        (power * coarse[1] - true_covariance).abs().max()
    )


def test_without_noise_the_measurement_is_met():
    prior = gaussian()
    observation = measured(prior, n=2, sigma_y=0.0)
    x_0 = DiffPIR(5)(prior, observation, 2, seed=1)
    assert float(observation.repeat(2).residual(x_0.flatten(0, 1)).abs().max()) < 1e-9
    t = torch.tensor([0.5], dtype=DOUBLE)
    denoised = prior.at(torch.randn(2, 3, dtype=DOUBLE), t)
    torch.testing.assert_close(
        DiffPIR(2)._consistent(denoised, observation), DDNM().consistent(denoised, observation)
    )


def test_units_enter_the_residual():
    prior = gaussian()
    observation = measured(prior, sigma_y=0.2)
    shifted = InUnits(observation.operator, 0.5, 0.5)
    y = shifted(prior.sample(Noise([3], dtype=DOUBLE)))
    t = torch.tensor([0.3], dtype=DOUBLE)
    denoised = prior.at(torch.randn(1, 3, dtype=DOUBLE), t)
    found = DiffPIR(2)._consistent(denoised, Observation(y, GaussianLikelihood(shifted, 0.2)))
    linear = InUnits(observation.operator, 0.5)
    offset = observation.operator(torch.full((1, 3), 0.5, dtype=DOUBLE))
    torch.testing.assert_close(
        found,
        DiffPIR(2)._consistent(denoised, Observation(y - offset, GaussianLikelihood(linear, 0.2))),
    )


def test_an_operator_that_is_not_linear_takes_a_gradient_step():
    """x_0' = x_0_hat + J^T (y - A(x_0_hat)) / (L^2 + rho): the paper's step, -grad ||y -
    A(x_0_hat)||^2 / (2 rho), where rho is large; A'(x) = 1 + 0.3 x^2.
    """
    prior = gaussian()
    y = torch.randn(1, 3, dtype=DOUBLE)
    t = torch.tensor([0.2], dtype=DOUBLE)
    denoised = prior.at(torch.randn(1, 3, dtype=DOUBLE), t)
    x = denoised.x_0_hat
    gradient = (1 + 0.3 * x**2) * (y - x - x**3 / 10)
    for weight, tolerance in ((1e6, 1e-4), (2.0, 1.0)):
        found = DiffPIR(2, weight=weight)._consistent(
            denoised, Observation(y, GaussianLikelihood(Cubic(), 0.5))
        )
        rho = weight * 0.5**2 * (denoised.alpha_t / denoised.sigma_t) ** 2
        torch.testing.assert_close(found - x, gradient / rho, rtol=tolerance, atol=0)
        assert float((found - x).norm()) <= float((gradient / rho).norm())


def test_what_it_asks_for():
    prior = gaussian()
    y = torch.zeros(1, 3, dtype=DOUBLE)
    for operator, sigma_y, says in (
        (Cubic(), 0.0, "at sigma_y = 0 DiffPIR needs a linear operator"),
        (Rounding(), 0.1, "Rounding is neither"),
    ):
        posterior = (prior, Observation(y, GaussianLikelihood(operator, sigma_y)))
        with pytest.raises(InvalidInput, match=says):
            DiffPIR(3)(*posterior, 1)
    with pytest.raises(InvalidInput, match="zeta"):
        DiffPIR(3, zeta=1.5)
    with pytest.raises(InvalidInput, match="weight"):
        DiffPIR(3, weight=0.0)


def test_its_times_are_dense_at_the_clean_end():
    """floor(sqrt(linspace(0, 1000^2, 5))) = 0, 500, 707, 866, 1000 counted from the noise, as in
    the authors' code.
    """
    times = RootTime().positions(VPCosine(), 5)
    torch.testing.assert_close(
        (1000 * (1 - times)).floor(), torch.tensor([0.0, 500, 707, 866, 1000], dtype=DOUBLE)
    )
