import pytest
import torch

from deft.errors import InvalidInput
from deft.operators import Matrix
from tests.contracts.operator import SpectralOperatorContract


class TestOneForEach(SpectralOperatorContract):
    event_shape = (7,)

    def make(self, seeds):
        return Matrix(torch.stack([self.one(seed) for seed in seeds]) if len(seeds) else torch.zeros(0, 4, 7))

    @staticmethod
    def one(seed):
        return torch.randn(4, 7, generator=torch.Generator().manual_seed(seed))


class TestOneForAll(SpectralOperatorContract):
    event_shape = (2, 3, 2)

    def make(self, seeds):
        return Matrix(torch.randn(5, 12, generator=torch.Generator().manual_seed(0)), self.event_shape)


class TestMoreMeasurementsThanEntries(SpectralOperatorContract):
    event_shape = (3,)

    def make(self, seeds):
        return Matrix(torch.randn(6, 3, generator=torch.Generator().manual_seed(1)))


def test_it_is_the_matrix():
    a, x = torch.randn(3, 4, 6, dtype=torch.float64), torch.randn(3, 6, dtype=torch.float64)
    torch.testing.assert_close(Matrix(a)(x), torch.einsum("nmd,nd->nm", a, x))


def test_errors():
    with pytest.raises(InvalidInput, match=r"shape \(m, d\), or \(n, m, d\).*got \(4,\)"):
        Matrix(torch.zeros(4))
    with pytest.raises(InvalidInput, match=r"signals of shape \(2, 2\) have 4 entries and the matrix 5 columns"):
        Matrix(torch.zeros(3, 5), (2, 2))
    with pytest.raises(InvalidInput, match=r"made for signals of shape \(5,\); got \(6,\)"):
        Matrix(torch.randn(3, 5))(torch.randn(1, 6))
