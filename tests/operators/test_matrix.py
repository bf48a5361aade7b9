import pytest
import torch

from deft.errors import InvalidInput
from deft.operators import HighDynamicRange, InUnits, Matrix, Tomography
from deft.operators.tomography import views
from tests.contracts.operator import SpectralOperatorContract
from tests.refusal import refused


class TestOneForEach(SpectralOperatorContract):
    event_shape = (7,)

    def make(self, seeds):
        return Matrix(
            torch.stack([self.one(seed) for seed in seeds]) if len(seeds) else torch.zeros(0, 4, 7)
        )

    @staticmethod
    def one(seed):
        return torch.randn(4, 7, generator=torch.Generator().manual_seed(seed))


class TestOneForAll(SpectralOperatorContract):
    event_shape = (2, 3, 2)

    def make(self, seeds):
        return Matrix(
            torch.randn(5, 12, generator=torch.Generator().manual_seed(0)), self.event_shape
        )


class TestMoreMeasurementsThanEntries(SpectralOperatorContract):
    event_shape = (3,)

    def make(self, seeds):
        return Matrix(torch.randn(6, 3, generator=torch.Generator().manual_seed(1)))


def test_it_is_the_matrix():
    a, x = torch.randn(3, 4, 6, dtype=torch.float64), torch.randn(3, 6, dtype=torch.float64)
    torch.testing.assert_close(Matrix(a)(x), torch.einsum("nmd,nd->nm", a, x))


def test_errors():
    refused(lambda: Matrix(torch.zeros(4)), "the shape (4,)", "(m, d), or (n, m, d)")
    refused(lambda: Matrix(torch.zeros(0, 4)), "the shape (0, 4)", "(m, d), or (n, m, d)")
    refused(lambda: Matrix(torch.zeros(3, 5), (2, 2)), (2, 2), "5 entries")
    refused(lambda: Matrix(torch.randn(3, 5))(torch.randn(1, 6)), "the shape (1, 6)", "(batch, 5)")
    refused(
        lambda: Matrix(torch.randn(3, 5)).lift(torch.randn(1, 4)), "the shape (1, 4)", "(batch, 3)"
    )
    refused(
        lambda: Matrix(torch.full((3, 5), torch.nan)),
        "15 of 15 entries that are NaN or infinite",
        "finite numbers",
    )
    for dtype in (torch.complex64, torch.int64, torch.float16, torch.bool):
        refused(
            lambda dtype=dtype: Matrix(torch.ones(3, 5).to(dtype)), str(dtype), "a matrix (m, d)"
        )
    refused(
        lambda: Matrix(torch.randn(3, 5))(torch.randn(1, 5).double()),
        "torch.float64",
        "torch.float32",
        "x_0.to(torch.float32)",
    )
    u, s, v_t = Matrix(torch.randn(3, 5)).parts
    refused(
        lambda: Matrix.decomposed(u[0], s, v_t, (5,)),
        "the shapes (3, 3), (1, 3) and (1, 3, 5)",
        "(n, m, k)",
    )


class TestOfAnotherOperator(SpectralOperatorContract):
    event_shape = (1, 6, 6)

    def make(self, seeds):
        return Matrix.of(Tomography(6, views(4)), self.event_shape)


@pytest.mark.parametrize("count", [2, 9])
def test_of_another_operator(count):
    """Fewer and more measurements than entries; the linear part of an affine one; measurements
    come in the operator's own shape.
    """
    operator = InUnits(Tomography(5, views(count)).double(), scale=0.5, offset=1.0)
    matrix, x = Matrix.of(operator, (1, 5, 5)), torch.randn(3, 1, 5, 5, dtype=torch.float64)
    y = operator.linear(x)
    torch.testing.assert_close(matrix(x), y.flatten(1), rtol=0, atol=0.01)
    torch.testing.assert_close(matrix.adjoint(y), operator.adjoint(y), rtol=1e-3, atol=0.01)
    one = torch.ones(1, dtype=torch.float64)
    assert torch.equal(matrix.solve(y, one, one).flatten(1), matrix.solve(y.flatten(1), one, one))
    gram = matrix.v_t(matrix.v(torch.eye(matrix._s.shape[1], dtype=torch.float64)))
    torch.testing.assert_close(gram, torch.eye(len(gram), dtype=torch.float64))


def test_of_another_operator_errors():
    with pytest.raises(
        InvalidInput, match="linear operator that all signals share; got HighDynamicRange"
    ):
        Matrix.of(HighDynamicRange(), (1, 4, 4))
    with pytest.raises(InvalidInput, match=r"got Tomography for 3 signals. Take one signal's"):
        Matrix.of(Tomography(4, torch.rand(3, 2)), (1, 4, 4))


def test_a_pull_with_little_noise_is_not_made_of_rounding_errors():
    """In single precision and at s2 -> 0, A^T (A A^T + s2 I)^{-1} A x is A^+ A x."""
    a = torch.randn(100, 300, generator=torch.Generator().manual_seed(0)) / 17
    operator, x = Matrix(a), torch.randn(2, 300)
    for s2 in (1e-6, 1e-10, 0.0):
        found = operator.pull(x, operator(x), torch.ones(1), torch.tensor([s2]))
        torch.testing.assert_close(
            found, operator.pseudo_inverse(operator(x)), atol=1e-4, rtol=1e-4
        )
