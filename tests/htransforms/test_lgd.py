import pytest
import torch

from deft.errors import InvalidInput, PriorNotDifferentiable
from deft.htransforms.dps import DPS
from deft.htransforms.exact import matrix_form
from deft.htransforms.lgd import LGD
from deft.htransforms.pigdm import PiGDM
from deft.likelihoods import GaussianLikelihood, Observation
from deft.noise import Noise
from deft.posterior import Posterior
from deft.priors.callable import CallablePrior
from deft.samplers.ddim import DDIM
from deft.samplers.grids import UniformTime
from deft.schedules import VE, RectifiedFlow, VPLinear, VPTabulated
from deft.steps import State
from deft.transitions import Steps
from deft.types import inner
from tests.closed_form import DOUBLE, gaussian, measured, mixture
from tests.contracts.htransform import HTransformContract
from tests.htransforms.test_exact import Square
from tests.htransforms.test_pigdm import jacobian


class TestLGD(HTransformContract):
    takes_noiseless = False

    def h_transform(self, prior):
        return LGD()


class TestPublished(HTransformContract):
    reads_noise_level = False
    tolerance = 1e-8  # next to t = 0 the weight is large

    def h_transform(self, prior):
        return LGD.published(0.7).on(Steps(prior.schedule, self.times(prior), 1.0))

    def sampled(self, prior, grid):
        return LGD.published(0.7).on(Steps(prior.schedule, grid.times(prior.schedule, 4), 1.0))


def point(prior, t=(0.4,), n=2):
    return prior.at(
        torch.randn(n, 3, dtype=DOUBLE, requires_grad=True), torch.tensor(t, dtype=DOUBLE)
    )


@pytest.mark.parametrize(
    "schedule", [VPLinear(), VE(0.01, 20), RectifiedFlow(0.01)], ids=lambda s: type(s).__name__
)
def test_the_published_update(schedule):
    """sum_i w_i J^T A^T (y - A x_i) / sigma_y^2, with w the softmax of the log-likelihoods of
    x_i = x_0_hat + r_t z_i.
    """
    prior, t = gaussian(schedule), torch.tensor([0.4], dtype=DOUBLE)
    observation = measured(prior, n=2, sigma_y=0.25)
    a, _ = matrix_form(observation, (3,))
    denoised, lgd = point(prior), LGD(5)
    r_t = schedule.sigma(t) / (schedule.alpha(t) ** 2 + schedule.sigma(t) ** 2).sqrt()
    cloud = denoised.x_0_hat.detach()[:, None] + r_t * lgd.points(t, (3,), denoised.x_t)
    residual = observation.y[:, None] - cloud @ a.mT
    weights = (-residual.square().sum(2) / (2 * 0.25**2)).softmax(1)
    pull = (weights[..., None] * (residual @ a)).sum(1) / 0.25**2
    torch.testing.assert_close(lgd.grad_log_h(denoised, observation), pull @ jacobian(prior, t))


def test_with_one_point_at_the_estimate_it_is_the_likelihood_of_the_estimate():
    """r_t -> 0: the gradient of log p(y | x_0_hat), which DPS normalises."""
    prior = mixture()
    observation = measured(prior, n=2)
    denoised = point(prior)
    expected = prior.at(denoised.x_t, denoised.t)
    log_prob = observation.likelihood.log_prob(expected.x_0_hat, observation.y)
    torch.testing.assert_close(LGD(1, scale=1e-9).log_h(denoised, observation), log_prob)
    torch.testing.assert_close(
        LGD(1, scale=1e-9).grad_log_h(denoised, observation), expected.gradient(log_prob)
    )


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_the_published_step(eta):
    """The unconditional step, then minus zeta J^T A^T of the mean residual, over the root mean
    square of the distance.
    """
    zeta, schedule = 0.8, VPTabulated.linear(30, 1e-3, 0.3)
    prior = gaussian(schedule)
    observation = measured(prior, n=2)
    a, _ = matrix_form(observation, (3,))
    sampler = DDIM(10, eta=eta, grid=UniformTime())
    grid = sampler.grid.times(schedule, sampler.steps)
    lgd = LGD.published(zeta, points=4, scale=0.8, seed=3).on(Steps(schedule, grid, eta))
    posterior = Posterior(prior, lgd, observation)
    noise = Noise([1, 2], dtype=DOUBLE)
    x_t = torch.randn(2, 3, dtype=DOUBLE)
    for k in range(len(grid)):
        t = grid[k : k + 1]
        alpha_t, sigma_t = schedule.alpha(t), schedule.sigma(t)
        r_t = 0.8 * sigma_t / (0.64 * alpha_t**2 + sigma_t**2).sqrt()
        cloud = prior.denoise(x_t, t)[:, None] + r_t * lgd.points(t, (3,), x_t)
        residual = observation.y[:, None] - cloud @ a.mT
        root = residual.square().sum(2).mean(1).sqrt()
        gradient = -(residual.mean(1, keepdim=True) @ a)[:, 0] / root[:, None] @ jacobian(prior, t)
        if k + 1 == len(grid):
            torch.testing.assert_close(
                posterior.denoise(x_t, t), prior.denoise(x_t, t) - zeta * gradient
            )
            break
        s = grid[k + 1 : k + 2]
        unconditional = sampler.step(prior, State(x_t, t, k), s, noise).x_t
        conditional = sampler.step(posterior, State(x_t, t, k), s, noise).x_t
        torch.testing.assert_close(conditional, unconditional - zeta * gradient)
        x_t = unconditional


def test_without_a_cloud_the_published_one_is_dps():
    prior = mixture()
    observation = measured(prior, n=2, sigma_y=0.0)
    grid = torch.tensor([1.0, 0.4], dtype=DOUBLE)
    denoised = point(prior)
    expected = (
        DPS.published(1.0)
        .on(Steps(prior.schedule, grid, 1.0))
        .shift(point_again(prior, denoised), observation)
    )
    found = (
        LGD.published(1.0, points=2, scale=1e-9)
        .on(Steps(prior.schedule, grid, 1.0))
        .shift(denoised, observation)
    )
    torch.testing.assert_close(found, expected)


def test_with_many_points_it_is_pigdm():
    """Both suppose N(x_0_hat, r_t^2 I); PiGDM integrates over it in closed form."""
    prior = mixture()
    observation = measured(prior, n=2, sigma_y=1.0)
    denoised = point(prior)
    expected = PiGDM(0.8).grad_log_h(denoised, observation)
    found = LGD(40_000, scale=0.8).grad_log_h(point_again(prior, denoised), observation)
    torch.testing.assert_close(
        found, expected, rtol=0.05, atol=0.02
    )  # errors of Monte Carlo fall as 1 / sqrt(n)


def point_again(prior, denoised):
    return prior.at(denoised.x_t, denoised.t)


def test_the_points_are_a_function_of_seed_and_time():
    like = torch.zeros(1, dtype=DOUBLE)
    t = torch.tensor([0.3, 0.5, 0.3], dtype=DOUBLE)
    z = LGD(4).points(t, (2, 3), like)
    assert z.shape == (3, 4, 2, 3)
    torch.rand(7)
    assert torch.equal(LGD(4).points(t[:1], (2, 3), like)[0], z[0])
    assert torch.equal(z[0], z[2])
    assert not torch.equal(z[0], z[1])
    assert not torch.equal(LGD(4, seed=1).points(t, (2, 3), like), z)
    assert torch.equal(
        LGD(4).points(t.float(), (2, 3), like), z
    )  # single precision does not move them
    many = LGD(2000).points(t[:1], (2, 3), like)[0]
    assert many.mean(0).abs().max() < 0.1
    assert (many.std(0) - 1).abs().max() < 0.1


def test_operators_need_not_be_linear():
    prior = mixture()
    y = torch.rand(2, 3, dtype=DOUBLE)
    observation = Observation(y, GaussianLikelihood(Square(), 0.5))
    denoised = point(prior)
    found = LGD(3).log_h(denoised, observation)
    r_t = denoised.sigma_t / (denoised.alpha_t**2 + denoised.sigma_t**2).sqrt()
    cloud = denoised.x_0_hat[:, None] + r_t[:, None] * LGD(3).points(denoised.t, (3,), y)
    log_prob = torch.stack([observation.likelihood.log_prob(cloud[:, i], y) for i in range(3)])
    torch.testing.assert_close(found, log_prob.exp().mean(0).log())
    assert (
        Posterior(prior, LGD(3), observation)
        .denoise(denoised.x_t.detach(), denoised.t)
        .isfinite()
        .all()
    )


def test_it_is_a_potential():
    """Its gradient is that of its density, by finite differences."""
    prior = mixture()
    observation = measured(prior, n=2)
    denoised = point(prior)
    direction = torch.randn(2, 3, dtype=DOUBLE)
    gradient = LGD().grad_log_h(denoised, observation)
    with torch.no_grad():
        ends = [
            LGD().log_h(prior.at(denoised.x_t + step * direction, denoised.t), observation)
            for step in (1e-5, -1e-5)
        ]
    torch.testing.assert_close(
        inner(gradient, direction), (ends[0] - ends[1]) / 2e-5, rtol=1e-6, atol=1e-6
    )  # central differences


def test_cost():
    assert LGD().needs_prior_gradient
    assert (LGD(100).prior_gradients_per_step, LGD(100).network_evaluations_per_step) == (1, 0)


def test_no_signals():
    prior = gaussian()
    nothing = measured(prior, n=2).take([])
    assert Posterior(prior, LGD(), nothing).denoise(
        torch.zeros(0, 3, dtype=DOUBLE), torch.tensor([0.4])
    ).shape == (0, 3)


def test_what_it_does_not_apply_to_is_refused_at_construction():
    prior = mixture()
    with pytest.raises(
        InvalidInput, match=r"sigma_y = 0 has none.*LGD\.published takes sigma_y = 0"
    ):
        Posterior(prior, LGD(), measured(prior, n=2, sigma_y=torch.tensor([0.3, 0.0])))
    with pytest.raises(PriorNotDifferentiable, match="LGD needs gradients through CallablePrior"):
        Posterior(CallablePrior(prior.denoise, prior.schedule, (3,), 1.0), LGD(), measured(prior))
    with pytest.raises(InvalidInput, match="points: got 0"):
        LGD(0)
    with pytest.raises(InvalidInput, match="scale: got -1"):
        LGD(scale=-1.0)
    with pytest.raises(InvalidInput, match="the weight of LGD: got -1"):
        LGD(weight=-1.0)
