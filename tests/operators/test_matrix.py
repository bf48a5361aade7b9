import pytest
import torch

from deft.errors import InvalidInput
from deft.operators import HighDynamicRange, InUnits, Matrix, Tomography
from deft.operators.tomography import views
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


class TestOfAnotherOperator(SpectralOperatorContract):
    event_shape = (1, 6, 6)

    def make(self, seeds):
        return Matrix.of(Tomography(6, views(4)), self.event_shape)


@pytest.mark.parametrize("count", [2, 9])
def test_of_another_operator(count):
    """Fewer and more measurements than entries; the linear part of an affine one; measurements come in the operator's own shape."""
    operator = InUnits(Tomography(5, views(count)).double(), scale=0.5, offset=1.0)
    matrix, x = Matrix.of(operator, (1, 5, 5)), torch.randn(3, 1, 5, 5, dtype=torch.float64)
    y = operator.linear(x)
    torch.testing.assert_close(matrix(x), y.flatten(1), rtol=0, atol=0.01)
    torch.testing.assert_close(matrix.adjoint(y), operator.adjoint(y), rtol=1e-3, atol=0.01)
    gram = matrix.v_t(matrix.v(torch.eye(matrix._s.shape[1], dtype=torch.float64)))
    torch.testing.assert_close(gram, torch.eye(len(gram), dtype=torch.float64))


def test_of_another_operator_errors():
    with pytest.raises(InvalidInput, match="linear operator that all signals share; got HighDynamicRange"):
        Matrix.of(HighDynamicRange(), (1, 4, 4))
    with pytest.raises(InvalidInput, match=r"got Tomography for 3 signals. Take one signal's"):
        Matrix.of(Tomography(4, torch.rand(3, 2)), (1, 4, 4))
