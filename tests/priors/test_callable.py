import pytest
import torch
from torch import nn

from deft.errors import InvalidInput, PriorNotDifferentiable
from deft.htransforms.dps import DPS
from deft.likelihoods import GaussianLikelihood, Observation
from deft.operators.identity import Identity
from deft.posterior import Posterior
from deft.priors.callable import CallablePrior
from deft.priors.identity import is_nameless, same_identity
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
        return CallablePrior(
            reference.denoise, reference.schedule, reference.event_shape, reference.scale
        )

    def noisy(self, prior, n=3):
        x_t, t = super().noisy(prior, n)
        return x_t.double(), t


class TestDifferentiable(PriorContract):
    def prior(self):
        reference = mixture()
        return CallablePrior(
            Network(reference),
            reference.schedule,
            reference.event_shape,
            reference.scale,
            differentiable=True,
            name="own",
        )

    def noisy(self, prior, n=3):
        x_t, t = super().noisy(prior, n)
        return x_t.double(), t


def test_a_noise_prediction_is_the_same_prior():
    reference = mixture()
    prior = CallablePrior.from_eps(
        lambda x_t, t: reference.at(x_t, t).eps_hat, reference.schedule, (2, 2), 1.0
    )
    x_t, t = torch.randn(3, 2, 2, dtype=torch.float64), torch.full((1,), 0.4, dtype=torch.float64)
    torch.testing.assert_close(prior.denoise(x_t, t), reference.denoise(x_t, t))


def test_errors():
    prior = CallablePrior(lambda x_t, t: x_t[:, :1], VPLinear(), (2, 2), 1.0)
    with pytest.raises(InvalidInput, match="with the shape of x_t"):
        prior.denoise(torch.zeros(1, 2, 2), torch.zeros(1))
    with pytest.raises(InvalidInput, match="scale"):
        CallablePrior(lambda x_t, t: x_t, VPLinear(), (2, 2), 0.0)


def test_methods_that_differentiate_it_are_refused():
    prior = CallablePrior(lambda x_t, t: x_t, VPLinear(), (2, 2), 1.0)
    with pytest.raises(PriorNotDifferentiable, match="DPS needs gradients through CallablePrior"):
        Posterior(
            prior, DPS(1.0), Observation(torch.zeros(1, 2, 2), GaussianLikelihood(Identity(), 0.1))
        )


class TestIdentity:
    def make(self, **settings):
        return CallablePrior(lambda x_t, t: 0.5 * x_t, VPLinear(), (1, 2, 2), 1.0, **settings)

    def test_a_function_has_the_identity_that_it_is_given_or_none(self):
        assert self.make().identity()["hash"] is None
        named = [
            self.make(identity=text).identity() for text in ("service 1", "service 1", "service 2")
        ]
        assert not same_identity(named[0], named[1])
        assert same_identity(named[0], named[2])
        assert same_identity(self.make().identity(), named[0])
        assert is_nameless(self.make().identity())
        assert is_nameless({"hash": "e3b0c44298fc1c14"})  # as version 0.1 recorded it
        assert not same_identity({"hash": "e3b0c44298fc1c14"}, self.make().identity())

    def test_what_it_predicts_counts(self):
        eps = CallablePrior.from_eps(
            lambda x_t, t: 0 * x_t, VPLinear(), (1, 2, 2), 1.0, identity="service 1"
        )
        assert any(
            said.startswith("prediction")
            for said in same_identity(eps.identity(), self.make(identity="service 1").identity())
        )


@pytest.mark.parametrize(
    ("returned", "given"),
    [
        (None, "a NoneType"),
        (torch.zeros(1, 1, 2), "a float32 tensor (1, 1, 2)"),
        (torch.zeros(1, 1, 2, 2, dtype=torch.long), "a int64 tensor (1, 1, 2, 2)"),
        (torch.full((1, 1, 2, 2), float("nan")), "NaN or infinite numbers"),
    ],
)
def test_what_a_function_returns_is_checked(returned, given):
    prior = CallablePrior(lambda x_t, t: returned, VPLinear(), (1, 2, 2), 1.0)
    with pytest.raises(InvalidInput) as raised:
        prior.denoise(torch.zeros(1, 1, 2, 2), torch.tensor([0.5]))
    assert raised.value.given == given


def test_a_network_in_half_precision():
    network = torch.nn.Conv2d(1, 1, 1).bfloat16()
    prior = CallablePrior(lambda x_t, t: network(x_t), VPLinear(), (1, 2, 2), 1.0)
    module = CallablePrior(_Half(network), VPLinear(), (1, 2, 2), 1.0)
    assert module.dtype == prior.dtype == torch.float32
    assert module.denoise(torch.zeros(1, 1, 2, 2), torch.tensor([0.5])).dtype == torch.float32


class _Half(torch.nn.Module):
    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x_t, t):
        return self.network(x_t)
