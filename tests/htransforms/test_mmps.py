import pytest
import torch

from deft.errors import InvalidInput, PriorNotDifferentiable
from deft.htransforms.exact import Exact, matrix_form
from deft.htransforms.mmps import MMPS
from deft.likelihoods import GaussianLikelihood, Observation
from deft.noise import Noise
from deft.operators.blur import Blur
from deft.operators.inpainting import Inpainting
from deft.operators.units import InUnits
from deft.posterior import Posterior
from deft.priors.callable import CallablePrior
from deft.priors.gaussian_mixture import GaussianMixture
from deft.priors.unet import UNetPrior
from deft.schedules import VE, RectifiedFlow, VPLinear
from deft.studies.counted import Counted
from tests.closed_form import DOUBLE, gaussian, measured, mixture
from tests.contracts.htransform import HTransformContract, images
from tests.htransforms.test_exact import Square
from tests.htransforms.test_pigdm import KERNEL, jacobian


class TestMMPS(HTransformContract):
    def h_transform(self, prior):
        return MMPS()


class TestManyIterations(HTransformContract):
    tolerance = 1e-7  # the iterations amplify rounding

    def h_transform(self, prior):
        return MMPS(iterations=5)


@pytest.mark.parametrize(
    "schedule", [VPLinear(), VE(0.01, 20), RectifiedFlow(0.01)], ids=lambda s: type(s).__name__
)
@pytest.mark.parametrize("iterations", [1, 2])
def test_the_published_update(schedule, iterations):
    """J^T A^T u, with u from conjugate gradients as a textbook writes them, on the matrix."""
    prior = gaussian(schedule)
    observation = measured(prior, n=2, sigma_y=0.25, rows=3)
    a, _ = matrix_form(observation, (3,))
    t = torch.tensor([0.4], dtype=DOUBLE)
    denoised = prior.at(torch.randn(2, 3, dtype=DOUBLE, requires_grad=True), t)
    j = jacobian(prior, t)
    for i in range(2):
        system = (denoised.sigma_t**2 / denoised.alpha_t).squeeze() * a[i] @ j @ a[
            i
        ].T + 0.25**2 * torch.eye(3, dtype=DOUBLE)
        residual = observation.y[i] - a[i] @ denoised.x_0_hat[i]
        u, r, p = torch.zeros(3, dtype=DOUBLE), residual, residual
        for _ in range(iterations):
            step = (r @ r) / (p @ system @ p)
            u, old, r = u + step * p, r, r - step * system @ p
            p = r + (r @ r) / (old @ old) * p
        expected = j.T @ a[i].T @ u
        torch.testing.assert_close(MMPS(iterations).grad_log_h(denoised, observation)[i], expected)


@pytest.mark.parametrize("sigma_y", [0.0, 0.25])
def test_exact_for_every_gaussian_with_as_many_iterations_as_measurements(sigma_y):
    prior = gaussian()
    observation = measured(prior, n=3, sigma_y=sigma_y)
    denoised = prior.at(
        torch.randn(3, 3, dtype=DOUBLE, requires_grad=True),
        torch.tensor([0.2, 0.5, 0.8], dtype=DOUBLE),
    )
    torch.testing.assert_close(
        MMPS(2).shift(denoised, observation),
        Exact(prior).shift(denoised, observation),
        rtol=0,
        atol=1e-8,
    )


@pytest.mark.parametrize(
    "operator",
    [
        Inpainting((torch.arange(16).reshape(1, 1, 4, 4) % 3 == 0).double()),
        InUnits(Blur(KERNEL, "circular"), 0.5, 0.5),
    ],
    ids=["pixels", "blur in units"],
)
def test_exact_for_a_gaussian_over_images(operator):
    prior = GaussianMixture(
        images().means.reshape(2, 2, 4, 4)[:1], images()._covariances()[0, :1], None, VPLinear()
    )
    likelihood = GaussianLikelihood(operator, torch.tensor([0.125, 0.25, 1.0]))
    noise = Noise(range(3), dtype=DOUBLE)
    observation = Observation(likelihood.sample(prior.sample(noise), noise.stream(1)), likelihood)
    denoised = prior.at(
        noise.normal(3, prior.event_shape).requires_grad_(),
        torch.tensor([0.1, 0.5, 0.9], dtype=DOUBLE),
    )
    # conjugate gradients stop at 1e-6 of the right-hand side
    torch.testing.assert_close(
        MMPS(32).shift(denoised, observation),
        Exact(prior).shift(denoised, observation),
        rtol=0,
        atol=1e-5,
    )


def test_more_iterations_come_closer_for_a_mixture_too():
    prior = images()
    observation = TestMMPS().observation(prior, 8)
    noise = Noise(range(8), dtype=DOUBLE)
    denoised = prior.at(
        noise.normal(3, prior.event_shape).requires_grad_(), torch.tensor([0.3], dtype=DOUBLE)
    )
    exact = Exact(prior).shift(denoised, observation).detach()
    errors = [
        float((MMPS(n).shift(denoised, observation) - exact).square().mean()) for n in (1, 3, 30)
    ]
    assert errors[2] < errors[1] < errors[0]


@pytest.mark.parametrize("iterations", [1, 3])
def test_cost(iterations):
    assert MMPS(iterations).needs_prior_gradient
    assert MMPS(iterations).prior_gradients_per_step == iterations + 1
    counted = Counted(images())
    posterior = Posterior(counted, MMPS(iterations), TestMMPS().observation(images(), 2))
    posterior.denoise(
        torch.randn(2, *counted.prior.event_shape, dtype=DOUBLE), torch.tensor([0.4], dtype=DOUBLE)
    )
    assert (counted.evaluations, counted.gradients) == (2, 2 * (iterations + 1))


def test_a_network_whose_jacobian_is_not_symmetric():
    prior = UNetPrior(
        (2, 4, 4), VPLinear(), channels=(4, 4), blocks=1, attention=(False, False)
    ).double()
    with torch.no_grad():
        for p in prior.parameters():
            p.add_(0.2 * torch.randn_like(p))
    posterior = Posterior(prior.frozen(), MMPS(20), TestMMPS().observation(prior, 2))
    x_t = torch.randn(2, 2, 4, 4, dtype=DOUBLE)
    assert all(
        bool(posterior.denoise(x_t, t[None]).isfinite().all())
        for t in torch.tensor([0.05, 0.5, 0.95], dtype=DOUBLE)
    )


def test_no_signals():
    prior = gaussian()
    nothing = measured(prior, n=2).take([])
    assert Posterior(prior, MMPS(), nothing).denoise(
        torch.zeros(0, 3, dtype=DOUBLE), torch.tensor([0.4])
    ).shape == (0, 3)


def test_what_it_does_not_apply_to_is_refused_at_construction():
    prior = mixture()
    observation = Observation(torch.zeros(1, 3, dtype=DOUBLE), GaussianLikelihood(Square(), 0.1))
    with pytest.raises(InvalidInput, match=r"MMPS needs a linear operator: got Square.*Use .*DPS"):
        Posterior(prior, MMPS(), observation)
    with pytest.raises(PriorNotDifferentiable, match="MMPS needs gradients through CallablePrior"):
        Posterior(CallablePrior(prior.denoise, prior.schedule, (3,), 1.0), MMPS(), measured(prior))
    with pytest.raises(InvalidInput, match="iterations: got 0"):
        MMPS(0)
