import pytest
import torch

from deft.errors import InvalidInput
from deft.htransforms.base import NoConditioning
from deft.htransforms.exact import Exact
from deft.interop.deepinv.reconstructor import DeepinvReconstructor
from deft.noise import Noise
from deft.priors.gaussian_mixture import GaussianMixture
from deft.samplers.ddim import DDIM
from deft.samplers.grids import UniformLogSNR
from deft.schedules import VPLinear
from tests.interop.deepinv.test_operators import Masking
from tests.interop.deepinv.test_problem import GaussianNoise, with_noise

SHAPE = (1, 4, 6)


def white():
    prior = GaussianMixture(torch.zeros(1, *SHAPE), torch.tensor([0.25]), None, VPLinear())
    prior.value_range = (-1.0, 1.0)
    return prior


def test_the_mean_of_the_posterior():
    """y / (1 + sigma_y^2 / s^2) where measured, 0 elsewhere, in [-1, 1]; sigma_y is twice
    deepinv's.
    """
    prior = white()
    mask = (torch.rand(2, *SHAPE) < 0.5).float()
    y = mask * ((prior.sample(Noise([1, 2])) + 1) / 2 + 0.05 * torch.randn(2, *SHAPE))
    model = DeepinvReconstructor(
        prior, Exact(prior), DDIM(20, eta=1.0, grid=UniformLogSNR()), num_samples=64
    )
    physics = with_noise(Masking(mask), GaussianNoise(0.05))
    expected = mask * (2 * y - 1) * 0.25 / (0.25 + 0.1**2)
    torch.testing.assert_close(
        2 * model(y, physics) - 1, expected, rtol=0, atol=5 * 0.5 / 8
    )  # five standard errors of 64 samples
    assert torch.equal(model(y, physics), model.samples(y, physics).mean(1))


def test_a_prior_without_a_range_speaks_the_physics_units():
    prior = GaussianMixture(torch.zeros(1, *SHAPE), torch.tensor([0.25]), None, VPLinear())
    y = torch.rand(1, *SHAPE)
    model = DeepinvReconstructor(prior, Exact(prior), DDIM(4))
    torch.testing.assert_close(
        model(y, with_noise(Masking(torch.ones(1, *SHAPE)), GaussianNoise(0.0))),
        y,
        rtol=0,
        atol=0.05,
    )


def test_wrong_arguments():
    with pytest.raises(InvalidInput, match="num_samples: got 0"):
        DeepinvReconstructor(white(), NoConditioning(), DDIM(2), num_samples=0)
