import pytest
import torch

from deft.errors import InvalidInput, PriorNotDifferentiable
from deft.htransforms.exact import Exact, matrix_form
from deft.htransforms.pigdm import PiGDM
from deft.likelihoods import GaussianLikelihood, Observation
from deft.noise import Noise
from deft.operators.blur import Blur
from deft.operators.inpainting import Inpainting
from deft.operators.super_resolution import SuperResolution
from deft.operators.units import InUnits
from deft.posterior import Posterior
from deft.priors.callable import CallablePrior
from deft.priors.gaussian_mixture import GaussianMixture
from deft.samplers.ddim import DDIM
from deft.samplers.grids import UniformLogSNR, UniformTime
from deft.schedules import VE, RectifiedFlow, VPLinear, VPTabulated
from deft.steps import State
from deft.transitions import Steps
from tests.closed_form import DOUBLE, gaussian, measured, mixture
from tests.contracts.htransform import HTransformContract
from tests.htransforms.test_exact import Square


class TestPiGDM(HTransformContract):
    def h_transform(self, prior):
        return PiGDM(prior.scale)


class TestPublished(HTransformContract):
    def h_transform(self, prior):
        return PiGDM.published().on(Steps(prior.schedule, self.times(prior), 1.0))

    def sampled(self, prior, grid):
        return PiGDM.published().on(Steps(prior.schedule, grid.times(prior.schedule, 4), 1.0))


def jacobian(prior, t):
    """d x_0_hat / d x_t of one Gaussian: alpha_t C (alpha_t^2 C + sigma_t^2 I)^{-1}."""
    covariance = prior.moments()[1][0]
    alpha, sigma = prior.schedule.alpha(t), prior.schedule.sigma(t)
    return (
        alpha
        * covariance
        @ torch.linalg.inv(
            alpha**2 * covariance + sigma**2 * torch.eye(len(covariance), dtype=DOUBLE)
        )
    )


@pytest.mark.parametrize(
    "schedule", [VPLinear(), VE(0.01, 20), RectifiedFlow(0.01)], ids=lambda s: type(s).__name__
)
@pytest.mark.parametrize(
    "sigma_y", [0.0, 0.25]
)  # a quarter, since sigma_y is held in single precision
def test_the_published_guidance(schedule, sigma_y):
    prior = gaussian(schedule)
    observation = measured(prior, n=2, sigma_y=sigma_y)
    a, _ = matrix_form(observation, (3,))
    t = torch.tensor([0.4], dtype=DOUBLE)
    x_t = torch.randn(2, 3, dtype=DOUBLE, requires_grad=True)
    denoised = prior.at(x_t, t)
    j, r_2 = (
        jacobian(prior, t),
        schedule.sigma(t) ** 2 / (schedule.alpha(t) ** 2 + schedule.sigma(t) ** 2),
    )
    residual = (observation.y - (a @ denoised.x_0_hat[..., None])[..., 0])[..., None]
    if sigma_y == 0:
        pull = torch.linalg.pinv(a) @ residual / r_2
    else:
        pull = (
            a.mT
            @ torch.linalg.inv(r_2 * a @ a.mT + sigma_y**2 * torch.eye(2, dtype=DOUBLE))
            @ residual
        )
    torch.testing.assert_close(PiGDM().grad_log_h(denoised, observation), (j.T @ pull)[..., 0])


@pytest.mark.parametrize(
    "sigma_y", [0.0, 0.25]
)  # a quarter, since sigma_y is held in single precision
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_the_published_step(eta, sigma_y):
    """Algorithm 1 of the paper, written out: the unconditional step, then plus alpha_t g."""
    schedule = VPTabulated.linear(30, 1e-3, 0.3)
    prior = gaussian(schedule)
    observation = measured(prior, n=2, sigma_y=sigma_y)
    a, _ = matrix_form(observation, (3,))
    sampler = DDIM(10, eta=eta, grid=UniformTime())
    grid = sampler.grid.times(schedule, sampler.steps)
    posterior = Posterior(prior, PiGDM.published().on(Steps(schedule, grid, eta)), observation)
    noise = Noise([1, 2], dtype=DOUBLE)
    x_t = torch.randn(2, 3, dtype=DOUBLE)
    for k in range(len(grid)):
        t = grid[k : k + 1]
        alpha_t, sigma_t = schedule.alpha(t), schedule.sigma(t)
        r_t = sigma_t / (alpha_t**2 + sigma_t**2).sqrt()
        residual = (observation.y - (a @ prior.denoise(x_t, t)[..., None])[..., 0])[..., None]
        if sigma_y == 0:
            pull = torch.linalg.pinv(a) @ residual
        else:
            pull = (
                a.mT
                @ torch.linalg.inv(a @ a.mT + (sigma_y / r_t) ** 2 * torch.eye(2, dtype=DOUBLE))
                @ residual
            )
        g = (jacobian(prior, t).T @ pull)[..., 0]
        if k + 1 == len(grid):
            torch.testing.assert_close(
                posterior.denoise(x_t, t), prior.denoise(x_t, t) + alpha_t * g
            )
            break
        s = grid[k + 1 : k + 2]
        unconditional = sampler.step(prior, State(x_t, t, k), s, noise).x_t
        conditional = sampler.step(posterior, State(x_t, t, k), s, noise).x_t
        torch.testing.assert_close(conditional, unconditional + alpha_t * g)
        x_t = unconditional


KERNEL = torch.tensor([[[0.1, 0.2, 0.1], [0.1, 0.2, 0.1], [0.0, 0.2, 0.0]]], dtype=DOUBLE)
OPERATORS = {
    "pixels of each signal": lambda noise: Inpainting((noise.uniform(0, (1, 4, 6)) < 0.4).double()),
    "averages": lambda noise: InUnits(SuperResolution(2, (2, 4, 6)).double(), 0.5, 0.5),
    "blur": lambda noise: Blur(KERNEL, "circular"),
}


@pytest.mark.parametrize("operator", OPERATORS.values(), ids=OPERATORS)
def test_exact_for_a_white_gaussian(operator):
    prior = GaussianMixture(
        torch.randn(1, 2, 4, 6, dtype=DOUBLE), torch.tensor([0.36], dtype=DOUBLE), None, VPLinear()
    )
    noise = Noise(range(3), dtype=DOUBLE)
    for sigma_y in (torch.zeros(1, dtype=DOUBLE), torch.tensor([0.01, 0.3, 5.0], dtype=DOUBLE)):
        likelihood = GaussianLikelihood(operator(noise), sigma_y)
        observation = Observation(
            likelihood.sample(prior.sample(noise), noise.stream(1)), likelihood
        )
        t = torch.tensor([0.1, 0.5, 0.9], dtype=DOUBLE)
        denoised = prior.at(noise.normal(3, prior.event_shape).requires_grad_(), t)
        expected = Exact(prior).shift(denoised, observation)
        torch.testing.assert_close(
            PiGDM(prior.scale).shift(denoised, observation), expected, rtol=0, atol=1e-8
        )


def test_cost():
    assert PiGDM().needs_prior_gradient
    assert (PiGDM().prior_gradients_per_step, PiGDM().network_evaluations_per_step) == (1, 0)


def test_another_grid_is_an_error():
    prior = mixture()
    posterior = Posterior(
        prior,
        PiGDM.published().on(Steps(prior.schedule, UniformLogSNR().times(prior.schedule, 5), 1.0)),
        measured(prior),
    )
    with pytest.raises(InvalidInput, match="tabulated for a grid of 5 times"):
        DDIM(6, eta=1.0, grid=UniformLogSNR())(posterior, 1)


def test_what_it_does_not_apply_to_is_refused_at_construction():
    prior = mixture()
    observation = Observation(torch.zeros(1, 3, dtype=DOUBLE), GaussianLikelihood(Square(), 0.1))
    with pytest.raises(InvalidInput, match=r"PiGDM needs a linear operator: got Square.*Use .*DPS"):
        Posterior(prior, PiGDM(), observation)
    black_box = CallablePrior(prior.denoise, prior.schedule, (3,), 1.0)
    with pytest.raises(PriorNotDifferentiable, match="PiGDM needs gradients through CallablePrior"):
        Posterior(black_box, PiGDM(), measured(prior))


def test_wrong_arguments():
    with pytest.raises(InvalidInput, match="scale: got 0"):
        PiGDM(0.0)
    with pytest.raises(InvalidInput, match="the weight of PiGDM: got -1"):
        PiGDM(weight=-1.0)
    with pytest.raises(InvalidInput, match="scale: got -1"):
        PiGDM.published(scale=-1.0)
