import pytest
import torch

from deft.errors import InvalidInput, PriorNotDifferentiable
from deft.htransforms.ddnm import DDNM
from deft.htransforms.exact import matrix_form
from deft.htransforms.mcg import MCG
from deft.likelihoods import GaussianLikelihood, Observation
from deft.noise import Noise
from deft.operators.blur import Blur
from deft.operators.identity import Identity
from deft.operators.units import InUnits
from deft.posterior import Posterior
from deft.priors.callable import CallablePrior
from deft.samplers.ddim import DDIM
from deft.samplers.grids import UniformLogSNR, UniformTime
from deft.schedules import VPTabulated
from deft.steps import State
from deft.transitions import Steps, Transition
from tests.closed_form import DOUBLE, gaussian, measured, mixture
from tests.contracts.htransform import HTransformContract, images
from tests.htransforms.test_exact import Square
from tests.htransforms.test_pigdm import KERNEL, jacobian


class TestMCG(HTransformContract):
    reads_noise_level = False

    def h_transform(self, prior):
        return MCG(0.3)


class TestPublished(HTransformContract):
    reads_noise_level = False

    def h_transform(self, prior):
        return MCG.published(step=0.1).on(Steps(prior.schedule, self.times(prior), 1.0))

    def sampled(self, prior, grid):
        return MCG.published(step=0.1).on(Steps(prior.schedule, grid.times(prior.schedule, 4), 1.0))


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_the_published_step(eta):
    """Algorithm 1 of the paper, written out: unconditional step, gradient, projection onto the
    measurement at level s.
    """
    step, schedule = 0.7, VPTabulated.linear(30, 1e-3, 0.3)
    prior = gaussian(schedule)
    observation = measured(prior, n=2, sigma_y=0.0)
    a, _ = matrix_form(observation, (3,))
    inverse = torch.linalg.pinv(a)
    projection = torch.eye(3, dtype=DOUBLE) - inverse @ a
    sampler = DDIM(10, eta=eta, grid=UniformTime())
    grid = sampler.grid.times(schedule, sampler.steps)
    posterior = Posterior(prior, MCG.published(step).on(Steps(schedule, grid, eta)), observation)
    noise = Noise([1, 2], dtype=DOUBLE)
    x_t = torch.randn(2, 3, dtype=DOUBLE)
    for k in range(len(grid)):
        t = grid[k : k + 1]
        x_0_hat = prior.denoise(x_t, t)
        residual = observation.y[..., None] - a @ x_0_hat[..., None]
        gradient = -jacobian(prior, t).T @ a.mT @ (residual / residual.norm(dim=1, keepdim=True))
        if k + 1 == len(grid):
            expected = (
                projection @ (x_0_hat[..., None] - step * gradient)
                + inverse @ observation.y[..., None]
            )
            torch.testing.assert_close(posterior.denoise(x_t, t), expected[..., 0])
            break
        s = grid[k + 1 : k + 2]
        unconditional = sampler.step(prior, State(x_t, t, k), s, noise).x_t[..., None]
        moved = Transition.between(schedule, t, s, eta).a
        measured_part = a @ unconditional + moved * residual  # a y + b A x_t + c A z
        expected = projection @ (unconditional - step * gradient) + inverse @ measured_part
        torch.testing.assert_close(
            sampler.step(posterior, State(x_t, t, k), s, noise).x_t, expected[..., 0]
        )
        x_t = expected[..., 0]


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_the_measured_part_has_the_law_that_the_paper_draws_it_from(eta):
    """A x_t = alpha_t y + sigma_t A eps becomes a y + b A x_t + c A z = alpha_s y + sigma_s A
    eps'.
    """
    schedule = VPTabulated.linear(30, 1e-3, 0.3)
    t, s = torch.tensor([0.6], dtype=DOUBLE), torch.tensor([0.4], dtype=DOUBLE)
    step = Transition.between(schedule, schedule.snap(t), schedule.snap(s), eta)
    alpha_t, sigma_t = schedule.alpha(schedule.snap(t)), schedule.sigma(schedule.snap(t))
    torch.testing.assert_close(step.a + step.b * alpha_t, schedule.alpha(schedule.snap(s)))
    torch.testing.assert_close(
        (step.b * sigma_t) ** 2 + step.c**2, schedule.sigma(schedule.snap(s)) ** 2
    )


def test_without_a_gradient_it_is_ddnm():
    prior = mixture()
    observation = measured(prior, n=2)
    denoised = prior.at(
        torch.randn(2, 3, dtype=DOUBLE, requires_grad=True), torch.tensor([0.4], dtype=DOUBLE)
    )
    torch.testing.assert_close(
        MCG(0.0).shift(denoised, observation), DDNM().shift(denoised, observation).detach()
    )


def test_samples_meet_a_noiseless_measurement():
    prior = mixture()
    observation = measured(prior, n=2, sigma_y=0.0)
    sampler = DDIM(10, eta=1.0)
    method = MCG.published(step=0.1).on(
        Steps(prior.schedule, sampler.grid.times(prior.schedule, 10), 1.0)
    )
    torch.testing.assert_close(
        observation.operator(sampler(Posterior(prior, method, observation), 1)[:, 0]), observation.y
    )


@pytest.mark.parametrize(
    "operator",
    [InUnits(Identity(), 0.5, 0.5), InUnits(Blur(KERNEL, "reflect"), 2.0, 0.1)],
    ids=["in units", "by conjugate gradients"],
)
def test_other_linear_operators(operator):
    prior = images()
    x_0 = Noise(range(2), dtype=DOUBLE).normal(0, prior.event_shape)
    observation = Observation(operator(x_0), GaussianLikelihood(operator, 0.0))
    denoised = prior.at(
        torch.randn(2, *prior.event_shape, dtype=DOUBLE, requires_grad=True),
        torch.tensor([0.4], dtype=DOUBLE),
    )
    made = denoised.x_0_hat + MCG(0.5).shift(denoised, observation)
    torch.testing.assert_close(
        operator(made), observation.y, rtol=0, atol=1e-4
    )  # conjugate gradients stop at 1e-6 of the right-hand side


def test_cost():
    assert MCG(1.0).needs_prior_gradient
    assert (MCG(1.0).prior_gradients_per_step, MCG(1.0).network_evaluations_per_step) == (1, 0)


def test_another_grid_is_an_error():
    prior = mixture()
    posterior = Posterior(
        prior,
        MCG.published().on(Steps(prior.schedule, UniformLogSNR().times(prior.schedule, 5), 1.0)),
        measured(prior),
    )
    with pytest.raises(InvalidInput, match="tabulated for a grid of 5 times"):
        DDIM(6, eta=1.0, grid=UniformLogSNR())(posterior, 1)


def test_what_it_does_not_apply_to_is_refused_at_construction():
    prior = mixture()
    observation = Observation(torch.zeros(1, 3, dtype=DOUBLE), GaussianLikelihood(Square(), 0.1))
    with pytest.raises(InvalidInput, match=r"MCG needs a linear operator: got Square.*Use .*DPS"):
        Posterior(prior, MCG(1.0), observation)
    with pytest.raises(PriorNotDifferentiable, match="MCG needs gradients through CallablePrior"):
        Posterior(
            CallablePrior(prior.denoise, prior.schedule, (3,), 1.0), MCG(1.0), measured(prior)
        )


def test_wrong_arguments():
    with pytest.raises(InvalidInput, match="the weight of MCG: got -1"):
        MCG(-1.0)
    with pytest.raises(InvalidInput, match="step: got -1"):
        MCG.published(step=-1.0)
