import torch

from deft.operators import Identity
from tests.contracts.operator import SpectralOperatorContract


class TestIdentity(SpectralOperatorContract):
    event_shape = (3, 4, 5)

    def make(self, seeds):
        return Identity()


class TestIdentityOfALine(TestIdentity):
    event_shape = (2, 7)


def test_nothing_is_lost():
    x = torch.randn(2, 1, 3, 3)
    assert torch.equal(Identity()(x), x)
    assert torch.equal(Identity().lift(x), x)
