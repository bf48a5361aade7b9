import pytest
import torch
from torch import nn

from deft.errors import InvalidInput, PriorNotDifferentiable
from deft.htransforms.dps import DPS
from deft.likelihoods import GaussianLikelihood, Observation
from deft.operators.identity import Identity
from deft.posterior import Posterior
from deft.priors.callable import CallablePrior
from deft.schedules import VPLinear
from tests.contracts.prior import PriorContract
from tests.priors.test_gaussian_mixture import mixture


class Network(nn.Module):
    """A user's own network: the mixture's denoiser, times a weight."""

    def __init__(self, reference):
        super().__init__()
        self.reference, self.weight = reference, nn.Parameter(torch.ones((), dtype=torch.float64))

    def forward(self, x_t, t):
        return self.weight * self.reference.denoise(x_t, t)


class TestDenoiser(PriorContract):
    def prior(self):
        reference = mixture()
        return CallablePrior(reference.denoise, reference.schedule, reference.event_shape, reference.scale)

    def noisy(self, prior, n=3):
        x_t, t = super().noisy(prior, n)
        return x_t.double(), t


class TestDifferentiable(PriorContract):
    def prior(self):
        reference = mixture()
        return CallablePrior(
            Network(reference), reference.schedule, reference.event_shape, reference.scale, differentiable=True, name="own"
        )

    def noisy(self, prior, n=3):
        x_t, t = super().noisy(prior, n)
        return x_t.double(), t


def test_a_noise_prediction_is_the_same_prior():
    reference = mixture()
    prior = CallablePrior.from_eps(lambda x_t, t: reference.at(x_t, t).eps_hat, reference.schedule, (2, 2), 1.0)
    x_t, t = torch.randn(3, 2, 2, dtype=torch.float64), torch.full((1,), 0.4, dtype=torch.float64)
    torch.testing.assert_close(prior.denoise(x_t, t), reference.denoise(x_t, t))


def test_errors():
    prior = CallablePrior(lambda x_t, t: x_t[:, :1], VPLinear(), (2, 2), 1.0)
    with pytest.raises(InvalidInput, match="must return the shape"):
        prior.denoise(torch.zeros(1, 2, 2), torch.zeros(1))
    with pytest.raises(InvalidInput, match="scale"):
        CallablePrior(lambda x_t, t: x_t, VPLinear(), (2, 2), 0.0)


def test_methods_that_differentiate_it_are_refused():
    prior = CallablePrior(lambda x_t, t: x_t, VPLinear(), (2, 2), 1.0)
    with pytest.raises(PriorNotDifferentiable, match="DPS needs gradients through CallablePrior"):
        Posterior(prior, DPS(1.0), Observation(torch.zeros(1, 2, 2), GaussianLikelihood(Identity(), 0.1)))
