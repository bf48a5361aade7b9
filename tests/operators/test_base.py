import math

import pytest
import torch

from deft.errors import InvalidInput
from deft.operators import MRI, InUnits
from deft.operators.base import ForwardOperator, LinearOperator
from deft.operators.solvers import conjugate_gradients
from tests.refusal import refused


def positive(n, seed):
    root = torch.randn(n, n, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return root @ root.T + 0.1 * torch.eye(n, dtype=torch.float64)


def test_conjugate_gradients_solve():
    a = torch.stack([positive(6, k) for k in range(3)])
    v = torch.randn(3, 6, dtype=torch.float64)
    expected = torch.linalg.solve(a, v[..., None])[..., 0]
    for precondition in (None, lambda r: r / a.diagonal(dim1=1, dim2=2)):
        u = conjugate_gradients(
            lambda u: (a @ u[..., None])[..., 0], v, tolerance=1e-10, precondition=precondition
        )
        torch.testing.assert_close(u, expected)


def test_a_signal_does_not_depend_on_its_neighbours():
    a = torch.stack([positive(6, 0), 1e-3 * positive(6, 1)])
    v = torch.randn(2, 6, dtype=torch.float64)
    together = conjugate_gradients(lambda u: (a @ u[..., None])[..., 0], v)
    alone = conjugate_gradients(lambda u: (a[:1] @ u[..., None])[..., 0], v[:1])
    torch.testing.assert_close(together[:1], alone, atol=1e-12, rtol=1e-12)


def test_the_exact_preconditioner_takes_one_iteration():
    a = positive(6, 0)[None]
    v, calls = torch.randn(1, 6, dtype=torch.float64), []

    def normal(u):
        calls.append(1)
        return (a @ u[..., None])[..., 0]

    conjugate_gradients(
        normal, v, precondition=lambda r: torch.linalg.solve(a, r[..., None])[..., 0]
    )
    assert len(calls) == 1


def test_zero_and_nothing():
    zero = conjugate_gradients(lambda u: u, torch.zeros(2, 3))
    assert torch.equal(zero, torch.zeros(2, 3))
    assert conjugate_gradients(lambda u: u, torch.zeros(0, 3)).shape == (0, 3)


class Halves(LinearOperator):
    """A user's own: every other entry; nothing about checks."""

    def __init__(self, weights, event_shape=None):
        super().__init__()
        self.event_shape = event_shape
        self.per_signal("weights", weights)

    def forward(self, image):
        return self.weights * image[..., ::2]

    def adjoint(self, data):
        x = data.new_zeros(*data.shape[:-1], 2 * data.shape[-1])
        x[..., ::2] = self.weights * data
        return x


class Other:
    """What a user's operator may be mixed with."""

    def lift(self, y):
        return y.repeat_interleave(2, dim=-1)


class Mixed(Other, Halves):
    pass


class TestAnOperatorOfOnesOwn:
    """It has the checks by deriving from the base class."""

    @pytest.mark.parametrize("kind", [Halves, Mixed])
    def test_it_says_what_it_was_given(self, kind):
        operator = kind(torch.ones(2, 1, 3))
        x = torch.randn(2, 1, 6)
        y = operator(x)
        refused(
            lambda: operator(torch.complex(x, x)),
            "torch.complex64",
            "real floating-point numbers",
            "torch.view_as_real",
        )
        refused(lambda: operator(x.numpy()), "ndarray", "a torch.Tensor")
        refused(lambda: operator(x.long()), "torch.int64", "real floating-point numbers")
        refused(lambda: operator(x[..., :0]), "the shape (2, 1, 0)", "(batch, *event)")
        refused(lambda: operator(x[:1]), "a batch of 1", "one of 2", "take(index)")
        refused(lambda: operator(torch.cat([x, x])), "a batch of 4", "one of 2")
        refused(
            lambda: operator(x.to("meta")), "a tensor on the device meta, without numbers", "cpu"
        )
        error = refused(
            lambda: operator.lift(y.fill_(math.nan)),
            "6 of 6 entries that are NaN or infinite, in entries 0, 1 of the batch",
            "finite",
        )
        assert error.what == f"{kind.__name__}.lift(y)"
        refused(
            lambda: operator.pull(x, operator(x)[:1], torch.ones(1), torch.ones(1)),
            "1 measurements",
            "2, one of each signal",
        )
        refused(
            lambda: operator(torch.randn(2, 1, 8)),
            "the shape (2, 1, 8)",
            "(batch, 1, 6), as before",
        )

    def test_keywords_and_gradients_work(self):
        operator, x = Halves(torch.ones(1, 1, 3)), torch.randn(2, 1, 6, requires_grad=True)
        y = operator(image=x)
        assert operator.solve(v=y.detach(), r2=torch.ones(1), s2=torch.ones(1)).shape == (2, 1, 3)
        torch.testing.assert_close(
            torch.autograd.grad(y.sum(), x)[0], operator.adjoint(torch.ones(2, 1, 3))
        )
        mapped = torch.func.vmap(lambda each: operator(each[None])[0])(x.detach())
        torch.testing.assert_close(mapped, y.detach())
        lifted = torch.func.vmap(lambda each: Mixed(torch.ones(1, 1, 3)).lift(each[None])[0])(
            y.detach()
        )
        assert lifted.shape == x.shape

    def test_a_declared_shape_is_checked_and_that_of_measurements_learned(self):
        operator = Halves(torch.ones(1, 1, 3), event_shape=(1, 6))
        refused(lambda: operator(torch.ones(2, 3, 6)), "the shape (2, 3, 6)", "(batch, 1, 6)")
        refused(lambda: operator(torch.ones(1, 6)), "the shape (1, 6)", "(batch, 1, 6)", "[None]")
        y = operator(torch.ones(2, 1, 6))
        for shape in ((2, 1, 1), (2, 2, 3), (2, 3)):
            refused(
                lambda shape=shape: operator.take([0, 1]).lift(torch.ones(shape)),
                f"the shape {shape}",
                "(batch, 1, 3)",
            )
        assert operator.lift(y).shape == (2, 1, 6)

    @pytest.mark.parametrize(
        ("result", "given"),
        [
            (lambda x: x[:1], "a result of shape (1, 6) for a batch of 2"),
            (lambda x: x.sum(), "a result of shape () for a batch of 2"),
            (lambda x: torch.complex(x, x), "a result of torch.complex64"),
            (lambda x: x.long(), "a result of torch.int64"),
            (lambda x: (x, x), "a tuple as its result"),
        ],
    )
    def test_its_results_are_checked(self, result, given):
        class Own(ForwardOperator):
            def forward(self, x_0):
                return result(x_0)

            def lift(self, y):
                return y

        refused(lambda: Own()(torch.ones(2, 6)), given, "")

    def test_what_its_lift_is(self):
        assert Halves(torch.ones(1, 1, 3)).lift_is == "its pseudo-inverse"
        assert Mixed(torch.ones(1, 1, 3)).lift_is == "a rough reconstruction"
        assert InUnits(MRI(torch.ones(1, 1, 4, 4)), 0.5).lift_is == "its zero-filled reconstruction"

    def test_an_error_of_its_own_stays_its_own(self):
        class Broken(ForwardOperator):
            def forward(self, x_0):
                raise RuntimeError("not mine")

            def lift(self, y):
                raise InvalidInput("mine")

        with pytest.raises(RuntimeError, match="not mine"):
            Broken()(torch.ones(1, 2))
        with pytest.raises(InvalidInput, match="mine"):
            Broken().lift(torch.ones(1, 2))
