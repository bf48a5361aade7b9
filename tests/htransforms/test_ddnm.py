import pytest
import torch

from deft.errors import InvalidInput
from deft.htransforms.ddnm import DDNM
from deft.likelihoods import GaussianLikelihood, Observation
from deft.operators.identity import Identity
from deft.operators.units import InUnits
from deft.posterior import Posterior
from deft.samplers.ddim import DDIM
from tests.closed_form import DOUBLE, measured, mixture
from tests.contracts.htransform import HTransformContract
from tests.htransforms.test_exact import Square


class TestDDNM(HTransformContract):
    reads_noise_level = False

    def h_transform(self, prior):
        return DDNM()


def test_equation_13():
    prior = mixture()
    observation = measured(prior, n=2, sigma_y=0.0)
    a = (observation.operator._u * observation.operator._s[:, None]) @ observation.operator._v_t
    inverse = torch.linalg.pinv(a)
    denoised = prior.at(torch.randn(2, 3, dtype=DOUBLE), torch.tensor([0.4], dtype=DOUBLE))
    expected = (
        inverse @ observation.y[..., None]
        + (torch.eye(3, dtype=DOUBLE) - inverse @ a) @ denoised.x_0_hat[..., None]
    )
    torch.testing.assert_close(DDNM().consistent(denoised, observation), expected[..., 0])


def test_samples_meet_a_noiseless_measurement():
    prior = mixture()
    observation = measured(prior, n=2, sigma_y=0.0)
    x_0 = DDIM(10, eta=1.0)(Posterior(prior, DDNM(), observation), 1)[:, 0]
    torch.testing.assert_close(observation.operator(x_0), observation.y)


def test_an_affine_operator():
    y = torch.rand(1, 3, dtype=DOUBLE)
    observation = Observation(y, GaussianLikelihood(InUnits(Identity(), 0.5, 0.5), 0.0))
    denoised = mixture().at(torch.randn(1, 3, dtype=DOUBLE), torch.tensor([0.4], dtype=DOUBLE))
    torch.testing.assert_close(DDNM().consistent(denoised, observation), 2 * y - 1)


def test_only_linear_operators():
    prior = mixture()
    observation = Observation(torch.zeros(1, 3, dtype=DOUBLE), GaussianLikelihood(Square(), 0.0))
    with pytest.raises(InvalidInput, match=r"got Square.*Use .*DPS"):
        Posterior(prior, DDNM(), observation)
