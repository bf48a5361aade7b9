import pytest
import torch

from deft.errors import InvalidInput
from deft.htransforms.exact import Exact
from deft.likelihoods import GaussianLikelihood, Observation
from deft.noise import Noise
from deft.operators.units import InUnits
from deft.samplers.ddnm_plus import DDNMPlus
from deft.samplers.ddrm import DDRM
from deft.samplers.grids import UniformLogSNR
from deft.schedules import VE, VPCosine
from deft.steps import State
from tests.closed_form import DOUBLE, Matrix, gaussian, measured
from tests.contracts.conditional_sampler import ConditionalSamplerContract
from tests.samplers.affine import Plain, moments


class TestDDRM(ConditionalSamplerContract):
    def sampler(self, steps, grid=None):
        return DDRM(steps, grid=grid)


def spectral(n: int = 1, sigma_y: float = 0.2) -> Observation:
    """Three components of four are seen: well, badly, and not (s = 0)."""
    v = torch.linalg.qr(torch.randn(n, 4, 4, dtype=DOUBLE))[0]
    s = torch.tensor([2.0, 0.2, 0.0], dtype=DOUBLE)
    operator = Matrix(s[:, None] * v[:, :3])
    return Observation(torch.randn(n, 3, dtype=DOUBLE), GaussianLikelihood(operator, sigma_y))


def four_dimensional(schedule):
    root = torch.randn(4, 4, dtype=DOUBLE)
    return type(gaussian())(
        torch.randn(1, 4, dtype=DOUBLE), (root @ root.T / 4)[None], None, schedule
    )


@pytest.mark.parametrize(("eta", "eta_b"), [(0.85, 1.0), (0.5, 0.7), (1.0, 0.0)])
def test_the_published_step(eta, eta_b):
    """Eq. 7-8, component by component, in the paper's variance-exploding form with the whole of
    V.
    """
    prior, observation = four_dimensional(VE()), spectral()
    posterior, noise = (prior, observation), Noise([5], dtype=DOUBLE)
    t, s = torch.tensor([0.6], dtype=DOUBLE), torch.tensor([0.47], dtype=DOUBLE)
    sigma_t, sigma_s = float(prior.schedule.sigma(t)), float(prior.schedule.sigma(s))
    x_t = torch.randn(1, 4, dtype=DOUBLE)
    x_s = DDRM(2, eta, eta_b).step(*posterior, State(x_t, t, 3), s, noise).x_t

    operator = observation.operator
    thin = operator._v_t[0]
    rest = torch.linalg.svd(thin)[2][3:]  # completes the basis
    v_t = torch.cat([thin, rest])
    singular = [*operator._s[0].tolist(), 0.0]
    y_bar = operator._u[0].T @ observation.y[0]
    x_theta = v_t @ prior.denoise(x_t, t)[0]
    x_bar, z = v_t @ x_t[0], v_t @ noise.normal(4, (4,))[0]
    expected, cases = torch.zeros(4, dtype=DOUBLE), []
    for i in range(4):
        if singular[i] < 1e-9:
            cases.append("not seen")
            mean = x_theta[i] + (1 - eta**2) ** 0.5 * sigma_s * (x_bar[i] - x_theta[i]) / sigma_t
            std = eta * sigma_s
        elif sigma_s < 0.2 / singular[i]:
            cases.append("worse")
            mean = x_theta[i] + (1 - eta**2) ** 0.5 * sigma_s * (
                y_bar[i] / singular[i] - x_theta[i]
            ) / (0.2 / singular[i])
            std = eta * sigma_s
        else:
            cases.append("better")
            mean = (1 - eta_b) * x_theta[i] + eta_b * y_bar[i] / singular[i]
            std = (sigma_s**2 - (0.2 / singular[i]) ** 2 * eta_b**2) ** 0.5
        expected[i] = mean + std * z[i]
    assert sorted(cases) == ["better", "not seen", "not seen", "worse"]
    torch.testing.assert_close(v_t @ x_s[0], expected)


def test_the_published_start():
    """Eq. 4-6: y' with the noise that is missing where it is the less noisy one, noise alone
    elsewhere.
    """
    prior, observation = four_dimensional(VE(sigma_max=0.9)), spectral()  # 0.2 / s is 0.1 and 1
    noise = Noise([5], dtype=DOUBLE)
    x_1 = DDRM(2).start(prior, observation, noise)
    operator = observation.operator
    z = noise.normal(0, (4,))
    y_bar = operator.u_t(observation.y)[0] / operator._s[0]
    found, c = operator.v_t(x_1)[0], operator.v_t(z)[0]
    torch.testing.assert_close(found[0], y_bar[0] + (0.9**2 - 0.1**2) ** 0.5 * c[0])
    torch.testing.assert_close(found[1:], 0.9 * c[1:])


def test_with_eta_b_1_a_step_is_that_of_ddnm_plus():
    prior, observation = four_dimensional(VPCosine()), spectral(3)
    posterior, noise = (prior, observation), Noise([5, 6, 7], dtype=DOUBLE)
    t, s = torch.tensor([0.6], dtype=DOUBLE), torch.tensor([0.3], dtype=DOUBLE)
    state = State(torch.randn(3, 4, dtype=DOUBLE), t)
    torch.testing.assert_close(
        DDRM(2).step(*posterior, state, s, noise).x_t,
        DDNMPlus(2).step(*posterior, state, s, noise).x_t,
    )


@pytest.mark.parametrize("eta", [0.5, 0.85])
def test_without_noise_slow_steps_sample_a_power_of_the_posterior(eta, monkeypatch):
    """p(x_0 | y) to the power 2 / (1 + sqrt(1 - eta^2)): its mean, and its covariance over that
    power, to first order in the step.
    """
    prior = gaussian(VPCosine(-10, 10))
    observation = measured(prior, sigma_y=0.0, rows=1, seed=1)
    (true_mean,), (true_covariance,) = Exact(prior).posterior(observation).moments()
    posterior, grid = (Plain(prior), observation), UniformLogSNR(low=-4, high=9)
    coarse, fine = (moments(DDRM(n, eta, grid=grid), posterior, monkeypatch) for n in (300, 600))
    mean, covariance = (2 * f - c for c, f in zip(coarse, fine))
    power = 2 / (1 + (1 - eta**2) ** 0.5)
    torch.testing.assert_close(mean, true_mean, rtol=0, atol=0.01)
    torch.testing.assert_close(
        power * covariance, true_covariance, rtol=0, atol=0.01
    )  # second order in the step is left


def test_with_noise_slow_steps_end_at_the_measurement(monkeypatch):
    """In what is seen: no prior, and less spread than the posterior's; so the number of steps is
    a parameter of the method.
    """
    prior = gaussian(VPCosine(-10, 10))
    observation = measured(prior, sigma_y=0.5, rows=1)
    posterior, grid = (Plain(prior), observation), UniformLogSNR(low=-4, high=9)
    (true_mean,), (true_covariance,) = Exact(prior).posterior(observation).moments()
    operator = observation.operator

    def seen(n):
        mean, covariance = moments(DDRM(n, grid=grid), posterior, monkeypatch)
        direction = operator._v_t[0, 0]
        return float(observation.residual(mean[None]).abs()), float(
            direction @ covariance @ direction
        )

    (few_residual, few_variance), (many_residual, many_variance) = seen(20), seen(300)
    direction = operator._v_t[0, 0]
    assert many_residual < 0.5 * few_residual < float(observation.residual(true_mean[None]).abs())
    assert many_variance < 0.5 * few_variance < float(direction @ true_covariance @ direction)


def test_without_noise_the_measurement_is_met():
    prior = gaussian()
    observation = measured(prior, n=2, sigma_y=0.0)
    x_0 = DDRM(5)(prior, observation, 2, seed=1)
    assert float(observation.repeat(2).residual(x_0.flatten(0, 1)).abs().max()) < 1e-9


def test_what_it_asks_for():
    prior = gaussian()
    observation = measured(prior)
    wrapped = Observation(
        observation.y, GaussianLikelihood(InUnits(observation.operator, 0.5), 0.1)
    )
    with pytest.raises(InvalidInput, match="InUnits has none"):
        DDRM(3)(prior, wrapped, 1)
    for arguments in ({"eta": 2.0}, {"eta_b": -0.1}):
        with pytest.raises(InvalidInput, match="eta"):
            DDRM(3, **arguments)
