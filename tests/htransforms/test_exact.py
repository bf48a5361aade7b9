import pytest
import torch

from deft.errors import InvalidInput
from deft.htransforms.base import NoConditioning
from deft.htransforms.composed import Scaled, Sum
from deft.htransforms.exact import Exact
from deft.likelihoods import GaussianLikelihood, Observation
from deft.operators.base import ForwardOperator
from deft.operators.identity import Identity
from deft.operators.inpainting import Inpainting
from deft.operators.units import InUnits
from deft.posterior import Posterior
from tests.closed_form import DOUBLE, gaussian, measured, mixture
from tests.contracts.htransform import HTransformContract, images


class TestExact(HTransformContract):
    def h_transform(self, prior):
        return Exact(prior)


def test_it_is_the_gradient_of_the_evidence():
    """grad log h = grad_{x_t} log p(y | x_t), and p(y | x_t) is the evidence of y under p(x_0 |
    x_t).
    """
    prior = mixture()
    observation = measured(prior, n=3)
    a = (observation.operator._u * observation.operator._s[:, None]) @ observation.operator._v_t
    t = torch.tensor([0.3, 0.5, 0.7], dtype=DOUBLE)
    alpha, sigma = prior.schedule.alpha(t), prior.schedule.sigma(t)
    eye = torch.eye(3, dtype=DOUBLE).expand(3, 3, 3)

    def log_h(x_t):
        by_x_t = prior.posterior(
            eye, x_t / alpha[:, None], sigma / alpha
        )  # x_t / alpha_t measures x_0 with noise sigma_t / alpha_t
        return by_x_t.evidence(a, observation.y, observation.sigma_y.double())

    x_t = torch.randn(3, 3, dtype=DOUBLE)
    grad_log_h = Exact(prior).grad_log_h(prior.at(x_t, t), observation)
    step = 1e-5
    for j in range(3):
        bump = torch.zeros(3, dtype=DOUBLE)
        bump[j] = step
        difference = (log_h(x_t + bump) - log_h(x_t - bump)) / (2 * step)
        torch.testing.assert_close(
            grad_log_h[:, j], difference, rtol=1e-5, atol=1e-5
        )  # central differences


def test_for_a_white_gaussian_it_is_the_guidance():
    """shift = r_t^2 g: what an untrained h-transform is."""
    prior = gaussian()
    white = type(prior)(
        torch.zeros(1, 3, dtype=DOUBLE), torch.tensor([0.49], dtype=DOUBLE), None, prior.schedule
    )
    observation = measured(white, n=2)
    x_t, t = torch.randn(2, 3, dtype=DOUBLE), torch.tensor([0.4], dtype=DOUBLE)
    denoised = white.at(x_t, t)
    alpha, sigma = denoised.alpha_t.flatten(), denoised.sigma_t.flatten()
    r_t = 0.7 * sigma / (alpha**2 * 0.49 + sigma**2).sqrt()
    guidance = observation.likelihood.guidance(denoised.x_0_hat, r_t, observation.y)
    torch.testing.assert_close(Exact(white).shift(denoised, observation), r_t * guidance)


def test_masked_entries_do_not_count():
    prior = images()
    mask = torch.zeros(1, 1, 4, 4, dtype=DOUBLE)
    mask[..., :2, :] = 1
    y = mask * torch.randn(1, 2, 4, 4, dtype=DOUBLE)
    observation = Observation(y, GaussianLikelihood(Inpainting(mask), 0.3))
    rows = torch.eye(32, dtype=DOUBLE)[mask.expand(1, 2, 4, 4).flatten() > 0]
    exact = Exact(prior)
    sigma_y = torch.tensor([0.3], dtype=DOUBLE)
    torch.testing.assert_close(
        exact.evidence(observation),
        prior.evidence(rows[None], (rows @ y.flatten())[None], sigma_y),
        rtol=1e-6,
        atol=0,
    )


def test_an_affine_operator():
    prior = mixture()
    y = torch.randn(2, 3, dtype=DOUBLE)
    in_units = Observation(y, GaussianLikelihood(InUnits(Identity(), 0.5, 0.5), 0.1))
    plain = Observation((y - 0.5) / 0.5, GaussianLikelihood(Identity(), 0.2))
    x_t, t = torch.randn(2, 3, dtype=DOUBLE), torch.tensor([0.4], dtype=DOUBLE)
    denoised = prior.at(x_t, t)
    torch.testing.assert_close(
        Exact(prior).shift(denoised, in_units),
        Exact(prior).shift(denoised, plain),
        rtol=1e-6,
        atol=1e-6,
    )


def test_sums_and_multiples():
    prior = mixture()
    observation = measured(prior, n=2)
    denoised = prior.at(torch.randn(2, 3, dtype=DOUBLE), torch.tensor([0.4], dtype=DOUBLE))
    exact = Exact(prior)
    shift = exact.shift(denoised, observation)
    torch.testing.assert_close(
        Sum(exact, Scaled(exact, 0.5), NoConditioning()).shift(denoised, observation), 1.5 * shift
    )


class Square(ForwardOperator):
    def forward(self, x_0):
        return x_0**2

    def lift(self, y):
        return y


def test_only_linear_operators():
    prior = mixture()
    observation = Observation(torch.zeros(1, 3, dtype=DOUBLE), GaussianLikelihood(Square(), 0.1))
    with pytest.raises(InvalidInput, match="needs a linear operator: got Square"):
        Posterior(prior, Exact(prior), observation).denoise(
            torch.zeros(1, 3, dtype=DOUBLE), torch.tensor([0.5], dtype=DOUBLE)
        )
