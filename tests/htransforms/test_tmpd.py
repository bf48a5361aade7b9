import pytest
import torch

from deft.errors import InvalidInput, PriorNotDifferentiable
from deft.htransforms.exact import Exact, matrix_form
from deft.htransforms.mmps import MMPS
from deft.htransforms.tmpd import TMPD
from deft.likelihoods import GaussianLikelihood, Observation
from deft.noise import Noise
from deft.operators.blur import Blur
from deft.operators.identity import Identity
from deft.operators.inpainting import Inpainting
from deft.operators.matrix import Matrix
from deft.operators.super_resolution import SuperResolution
from deft.operators.units import InUnits
from deft.posterior import Posterior
from deft.priors.callable import CallablePrior
from deft.priors.gaussian_mixture import GaussianMixture
from deft.schedules import VE, RectifiedFlow, VPLinear
from deft.studies.counted import Counted
from tests.closed_form import DOUBLE, gaussian, measured, mixture
from tests.contracts.htransform import HTransformContract
from tests.htransforms.test_exact import Square
from tests.htransforms.test_pigdm import KERNEL, jacobian


class TestTMPD(HTransformContract):
    def h_transform(self, prior):
        return TMPD()


class TestFull(HTransformContract):
    def h_transform(self, prior):
        return TMPD(full=True)


@pytest.mark.parametrize(
    "schedule", [VPLinear(), VE(0.01, 20), RectifiedFlow(0.01)], ids=lambda s: type(s).__name__
)
@pytest.mark.parametrize("full", [False, True])
def test_the_published_update(schedule, full):
    prior = gaussian(schedule)
    observation = measured(prior, n=2, sigma_y=0.25)
    a, _ = matrix_form(observation, (3,))
    t = torch.tensor([0.4], dtype=DOUBLE)
    denoised = prior.at(torch.randn(2, 3, dtype=DOUBLE, requires_grad=True), t)
    j = jacobian(prior, t)
    covariance = denoised.sigma_t**2 / denoised.alpha_t * a @ j @ a.mT
    if not full:
        covariance = torch.diag_embed(covariance.sum(2))
    residual = observation.y[..., None] - a @ denoised.x_0_hat[..., None]
    pull = a.mT @ torch.linalg.inv(covariance + 0.25**2 * torch.eye(2, dtype=DOUBLE)) @ residual
    expected = (j.T @ pull)[..., 0]
    torch.testing.assert_close(TMPD(full).grad_log_h(denoised, observation), expected)


def white():
    return GaussianMixture(
        torch.randn(1, 2, 4, 6, dtype=DOUBLE), torch.tensor([0.36], dtype=DOUBLE), None, VPLinear()
    )


def drawn(prior, operator, sigma_y):
    noise = Noise(range(3), dtype=DOUBLE)
    likelihood = GaussianLikelihood(operator, sigma_y)
    observation = Observation(likelihood.sample(prior.sample(noise), noise.stream(1)), likelihood)
    t = torch.tensor([0.1, 0.5, 0.9], dtype=DOUBLE)
    return prior.at(noise.normal(3, prior.event_shape).requires_grad_(), t), observation


@pytest.mark.parametrize(
    "operator",
    [
        Inpainting((torch.arange(24).reshape(1, 1, 4, 6) % 3 == 0).double()),
        SuperResolution(2, (2, 4, 6)).double(),
    ],
    ids=lambda a: type(a).__name__,
)
@pytest.mark.parametrize("sigma_y", [0.0, 0.25])
def test_row_sums_are_exact_where_the_measurements_are_independent(operator, sigma_y):
    denoised, observation = drawn(white(), operator, sigma_y)
    prior = white()
    denoised = prior.at(denoised.x_t, denoised.t)
    torch.testing.assert_close(
        TMPD().shift(denoised, observation),
        Exact(prior).shift(denoised, observation),
        rtol=0,
        atol=1e-8,
    )


@pytest.mark.parametrize("sigma_y", [0.0, 0.25])
def test_the_whole_matrix_is_exact_for_every_gaussian(sigma_y):
    prior = gaussian()
    observation = measured(prior, n=3, sigma_y=sigma_y)
    denoised = prior.at(
        torch.randn(3, 3, dtype=DOUBLE, requires_grad=True),
        torch.tensor([0.2, 0.5, 0.8], dtype=DOUBLE),
    )
    torch.testing.assert_close(
        TMPD(full=True).shift(denoised, observation),
        Exact(prior).shift(denoised, observation),
        rtol=0,
        atol=1e-8,
    )


def test_the_whole_matrix_with_an_operator_on_images():
    prior = white()
    denoised, observation = drawn(
        prior, InUnits(Blur(KERNEL, "circular"), 0.5, 0.5), torch.tensor([0.125, 0.25, 2.0])
    )
    torch.testing.assert_close(
        TMPD(full=True).shift(denoised, observation),
        Exact(prior).shift(denoised, observation),
        rtol=0,
        atol=1e-8,
    )


def test_a_negative_row_sum_counts_by_its_size():
    """Two entries with a correlation of -0.9 of unequal size: the row sum of the smaller is
    negative.
    """
    covariance = torch.tensor([[[4.0, -0.9], [-0.9, 0.25]]], dtype=DOUBLE)
    prior = GaussianMixture(torch.zeros(1, 2, dtype=DOUBLE), covariance, None, VPLinear())
    observation = Observation(torch.ones(1, 2, dtype=DOUBLE), GaussianLikelihood(Identity(), 0.0))
    t = torch.tensor([0.9], dtype=DOUBLE)
    denoised = prior.at(torch.zeros(1, 2, dtype=DOUBLE, requires_grad=True), t)
    j = jacobian(prior, t)
    rows = denoised.sigma_t**2 / denoised.alpha_t * j.sum(1)
    assert rows[0, 0] > 0 > rows[0, 1]
    torch.testing.assert_close(TMPD().grad_log_h(denoised, observation), (1 / rows.abs()) @ j)


def test_cost():
    assert TMPD().needs_prior_gradient
    assert (TMPD().prior_gradients_per_step, TMPD(full=True).prior_gradients_per_step) == (2, None)
    for full, each in ((False, 2), (True, 3)):  # two measurements each
        counted = Counted(mixture())
        Posterior(counted, TMPD(full), measured(mixture(), n=4)).denoise(
            torch.randn(4, 3, dtype=DOUBLE), torch.tensor([0.4], dtype=DOUBLE)
        )
        assert (counted.evaluations, counted.gradients) == (4, 4 * each)


def test_no_signals():
    prior = gaussian()
    nothing = measured(prior, n=2).take([])
    for full in (False, True):
        assert Posterior(prior, TMPD(full), nothing).denoise(
            torch.zeros(0, 3, dtype=DOUBLE), torch.tensor([0.4])
        ).shape == (0, 3)


def test_what_it_does_not_apply_to_is_refused_at_construction():
    prior = mixture()
    observation = Observation(torch.zeros(1, 3, dtype=DOUBLE), GaussianLikelihood(Square(), 0.1))
    with pytest.raises(InvalidInput, match=r"TMPD needs a linear operator: got Square.*Use .*DPS"):
        Posterior(prior, TMPD(), observation)
    with pytest.raises(PriorNotDifferentiable, match="TMPD needs gradients through CallablePrior"):
        Posterior(CallablePrior(prior.denoise, prior.schedule, (3,), 1.0), TMPD(), measured(prior))


def test_mmps_solves_the_same_system():
    prior = mixture()
    observation = measured(prior, n=2)
    denoised = prior.at(
        torch.randn(2, 3, dtype=DOUBLE, requires_grad=True), torch.tensor([0.4], dtype=DOUBLE)
    )
    torch.testing.assert_close(
        MMPS(iterations=2).shift(denoised, observation),
        TMPD(full=True).shift(denoised, observation),
    )


def test_correlated_noise_needs_the_whole_matrix():
    """By the row sums of W A J A^T W^T the guidance has no bound; noise of each entry has one."""
    prior = gaussian(VPLinear())
    operator = Matrix(torch.eye(3, dtype=DOUBLE), (3,))
    apart = (torch.arange(3)[:, None] - torch.arange(3)).abs().double()
    correlated = Matrix(0.04 * 0.5**apart, (3,))
    entries = torch.tensor([[0.1, 0.2, 0.3]], dtype=DOUBLE)
    y = torch.randn(2, 3, dtype=DOUBLE)
    for noise, is_so in ((correlated, True), (entries, False), (0.2, False)):
        observation = Observation(y, GaussianLikelihood(operator, noise).double())
        assert observation.is_correlated == is_so
        TMPD(full=True).check(prior, observation)
        if is_so:
            with pytest.raises(InvalidInput, match="MMPS, or TMPD"):
                TMPD().check(prior, observation)
        else:
            TMPD().check(prior, observation)
