import pytest
import torch

from deft.errors import InvalidInput
from deft.htransforms.exact import Exact
from deft.htransforms.gaussian_potential import GaussianPotential
from deft.htransforms.pigdm import PiGDM
from deft.likelihoods import GaussianLikelihood, Observation
from deft.noise import Noise
from deft.operators.base import ForwardOperator
from deft.posterior import Posterior
from deft.priors.gaussian_mixture import GaussianMixture
from deft.schedules import VPLinear
from tests.closed_form import DOUBLE, measured, mixture
from tests.contracts.htransform import HTransformContract


class TestGaussianPotential(HTransformContract):
    def h_transform(self, prior):
        return GaussianPotential.for_prior(prior)


def white():
    return GaussianMixture(
        torch.zeros(1, 3, dtype=DOUBLE), torch.tensor([0.49], dtype=DOUBLE), None, VPLinear()
    )


def test_it_is_exact_for_a_white_gaussian():
    """The shift, and log h up to a constant: differences of log p(y | x_t), by quadrature-free
    Gaussian algebra.
    """
    prior = white()
    observation = measured(prior, n=2)
    potential = GaussianPotential.for_prior(prior)
    x_t, t = torch.randn(2, 3, dtype=DOUBLE), torch.tensor([0.4], dtype=DOUBLE)
    close = {"rtol": 1e-6, "atol": 1e-6}  # the scale is stored in single precision
    torch.testing.assert_close(
        Posterior(prior, potential, observation).denoise(x_t, t),
        Posterior(prior, Exact(prior), observation).denoise(x_t, t),
        **close,
    )

    operator = observation.operator
    a = (operator._u * operator._s[:, None]) @ operator._v_t
    alpha, sigma = prior.schedule.alpha(t), prior.schedule.sigma(t)
    by_x_t = prior.posterior(torch.eye(3, dtype=DOUBLE).expand(2, 3, 3), x_t / alpha, sigma / alpha)
    log_h = by_x_t.evidence(a, observation.y, observation.sigma_y.double())
    other = torch.randn(2, 3, dtype=DOUBLE)
    by_other = prior.posterior(
        torch.eye(3, dtype=DOUBLE).expand(2, 3, 3), other / alpha, sigma / alpha
    )
    expected = log_h - by_other.evidence(a, observation.y, observation.sigma_y.double())
    found = potential.log_h(prior.at(x_t, t), observation) - potential.log_h(
        prior.at(other, t), observation
    )
    torch.testing.assert_close(found, expected, **close)


def test_its_gradient_is_pigdms():
    prior = mixture()
    observation = measured(prior, n=2)
    x_t, t = torch.randn(2, 3, dtype=DOUBLE, requires_grad=True), torch.tensor([0.4], dtype=DOUBLE)
    ours = GaussianPotential.for_prior(prior).shift(prior.at(x_t, t), observation)
    theirs = PiGDM(scale=prior.scale).shift(prior.at(x_t, t), observation)
    torch.testing.assert_close(
        ours, theirs, rtol=1e-6, atol=1e-6
    )  # the scale is stored in single precision


def test_it_widens_with_the_noise():
    """The further from y an estimate is, the less it says: by 1 / (r_t^2 + sigma_y^2)."""
    prior = white()
    observation = Observation(
        torch.zeros(1, 3, dtype=DOUBLE),
        GaussianLikelihood(type(measured(prior).operator)(torch.eye(3).double()[None]), 0.1),
    )
    potential = GaussianPotential.for_prior(prior)
    x_t = Noise([0], dtype=DOUBLE).normal(0, (3,))
    for t in (0.1, 0.9):
        denoised = prior.at(x_t, torch.tensor([t], dtype=DOUBLE))
        alpha, sigma = denoised.alpha_t, denoised.sigma_t
        width = 0.49 * sigma**2 / (alpha**2 * 0.49 + sigma**2) + 0.01
        expected = -0.5 * (denoised.x_0_hat.square().sum() / width).flatten()
        torch.testing.assert_close(
            potential.log_h(denoised, observation), expected, rtol=1e-6, atol=0
        )


class Square(ForwardOperator):
    def forward(self, x_0):
        return x_0**2

    def lift(self, y):
        return y


def test_what_it_refuses():
    prior = mixture()
    with pytest.raises(InvalidInput, match="GaussianPotential needs a linear operator"):
        Posterior(
            prior,
            GaussianPotential(1.0),
            Observation(torch.zeros(1, 3, dtype=DOUBLE), GaussianLikelihood(Square(), 0.1)),
        )
    with pytest.raises(InvalidInput, match="scale: got -1"):
        GaussianPotential(-1.0)
