"""What every forward operator keeps: its shapes, its adjoint, its inverse, and one set of
parameters per signal.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import pytest
import torch

from deft.errors import InvalidInput
from deft.operators.base import ForwardOperator, LinearOperator, SpectralOperator


def dense(function, shape: Sequence[int]) -> torch.Tensor:
    """The matrix of a linear map between signals, from the images of the basis vectors."""
    n = math.prod(shape)
    return function(torch.eye(n).reshape(n, *shape)).reshape(n, -1).T


WRONG: dict[str, Callable[[torch.Tensor], object]] = {
    "complex": lambda x: torch.complex(x, x),
    "integers": lambda x: x.long(),
    "truth values": lambda x: x > 0,
    "an array": lambda x: x.numpy(),
    "a list": lambda x: x.tolist(),
    "a number": lambda x: torch.tensor(1.0),
    "an empty axis": lambda x: x[..., :0],
}


ENTRIES = (
    "forward",
    "coverage",
    "adjoint",
    "lift",
    "observed",
    "count",
    "solve",
    "pseudo_inverse",
    "pull",
)


class OperatorContract(ABC):
    """A test class inherits this and says how to make the operator; everything runs in double
    precision.

    `tolerance` bounds rounding errors; operators that iterate need a larger `solve_tolerance`.
    """

    event_shape: tuple[int, ...]
    tolerance = 1e-10
    solve_tolerance = 1e-9

    @property
    def coverage_shape(self) -> tuple[int, ...]:
        """One channel of the signal."""
        return (1, *self.event_shape[1:])

    @abstractmethod
    def make(self, seeds: Sequence[int]) -> ForwardOperator:
        """The operator of a batch of signals, each with the parameters of its own seed."""

    @pytest.fixture(autouse=True)
    def _double_precision(self):
        torch.set_default_dtype(torch.float64)
        yield
        torch.set_default_dtype(torch.float32)

    def signals(self, batch: int) -> torch.Tensor:
        return torch.randn(batch, *self.event_shape)

    def close(self, a: torch.Tensor, b: torch.Tensor, tolerance: float | None = None) -> None:
        torch.testing.assert_close(
            a, b, atol=tolerance or self.tolerance, rtol=tolerance or self.tolerance
        )

    def test_it_knows_for_how_many_signals_it_is(self):
        three = self.make([1, 2, 3])
        assert three.signals in (1, 3)
        assert three.take([2]).signals == self.make([1]).signals == 1
        assert three.repeat(2).signals == 2 * three.signals or three.signals == 1

    @pytest.mark.parametrize("batch", [0, 1, 3])
    def test_shapes(self, batch):
        operator, x = self.make(range(batch)), self.signals(batch)
        y = operator(x)
        assert len(y) == batch
        assert operator.lift(y).shape == x.shape
        assert operator.observed(y).shape == y.shape
        assert operator.count(y).shape == (batch,)
        coverage = operator.coverage(x)
        assert coverage.shape == (batch, *self.coverage_shape)
        assert ((coverage >= 0) & (coverage <= 1)).all()

    def test_measurements_are_observed(self):
        operator, x = self.make(range(3)), self.signals(3)
        y = operator(x)
        self.close(operator.observed(y), y)
        seen = operator.observed(torch.ones_like(y))
        self.close(operator.count(y), seen.flatten(1).sum(1))

    def test_each_signal_has_its_own_parameters(self):
        operator, x = self.make(range(3)), self.signals(3)
        y = operator(x)
        for i in range(3):
            alone = self.make([i])
            self.close(alone(x[i : i + 1]), y[i : i + 1])
            self.close(alone.lift(y[i : i + 1]), operator.lift(y)[i : i + 1], self.solve_tolerance)

    def test_a_residual_pulls_each_signal_on_its_own(self):
        operator, x = self.make(range(3)), self.signals(3)
        residual = operator.observed(operator(self.signals(3)) - operator(x))
        r2, s2 = torch.tensor([0.3, 1.0, 4.0]), torch.tensor([0.5, 0.05, 0.2])
        pull = operator.pull(x, residual, r2, s2)
        assert pull.shape == x.shape
        assert pull.isfinite().all()
        self.close(operator.pull(x, 0 * residual, r2, s2), torch.zeros_like(x))
        for i in range(3):
            alone = self.make([i]).pull(
                x[i : i + 1], residual[i : i + 1], r2[i : i + 1], s2[i : i + 1]
            )
            self.close(alone, pull[i : i + 1], self.solve_tolerance)
        nothing = self.make([])
        assert nothing.pull(x[:0], nothing(x[:0]), r2[:1], s2[:1]).shape == (0, *self.event_shape)

    def test_take(self):
        operator, x = self.make(range(3)), self.signals(3)
        index = [2, 0, 2, 1]
        self.close(operator.take(index)(x[index]), operator(x)[index])
        self.close(
            operator.take(torch.tensor(index)).coverage(x[index]), operator.coverage(x)[index]
        )
        assert len(operator.take([])(x[:0])) == 0

    def test_repeat(self):
        operator, x = self.make(range(3)), self.signals(3).repeat_interleave(2, dim=0)
        self.close(
            operator.repeat(2)(x),
            torch.cat([self.make([i])(x[2 * i : 2 * i + 2]) for i in range(3)]),
        )

    def test_single_precision(self):
        operator, x = self.make(range(2)).float(), self.signals(2).float()
        y = operator(x)
        assert y.dtype == operator.lift(y).dtype == operator.coverage(x).dtype == torch.float32

    @pytest.mark.parametrize("wrong", [*WRONG, "batch", "rank", "size", "meta"])
    def test_what_it_cannot_be_asked_about_is_refused(self, wrong):
        """By every entry of every operator; where signals have parameters of their own, one
        signal too few is refused too.
        """
        operator, x = self.make(range(3)), self.signals(3)
        y = operator(x)
        for entry in filter(lambda name: hasattr(operator, name), ENTRIES):
            given, signal = (x, True) if entry in ("forward", "coverage", "pull") else (y, False)
            if (bad := self._wrong(operator, wrong, given, signal)) is None or (
                wrong == "batch" and entry in ("observed", "coverage", "count")
            ):
                # those that do not look at their parameters say nothing wrong of two of three
                continue
            with pytest.raises(InvalidInput) as raised:
                self._ask(operator, entry, bad, y)
            assert raised.value.given or wrong == "batch"
            assert raised.value.expected or wrong == "batch"

    @pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
    def test_measurements_that_are_not_finite_are_refused(self, bad):
        operator, x = self.make(range(3)), self.signals(3)
        y = operator(x).clone(memory_format=torch.contiguous_format)
        y[1].view(-1)[-1] = bad
        for call in (operator.lift, operator.check_measurement):
            with pytest.raises(InvalidInput) as raised:
                call(y)
            assert "1 of" in raised.value.given
            assert "entry 1 of the batch" in raised.value.given
            assert raised.value.expected == "finite numbers"

    def test_a_residual_does_not_broadcast(self):
        operator, x = self.make(range(3)), self.signals(3)
        y = operator(x)
        self.close(operator.residual(x, y), torch.zeros_like(y))
        with pytest.raises(InvalidInput):
            operator.residual(x, y[:, None])

    def test_any_memory_layout_and_no_grad(self):
        operator, x = self.make(range(3)), self.signals(3)
        strided = torch.stack([x, x], dim=-1)[..., 0]
        self.close(operator(strided), operator(x))
        with torch.inference_mode():
            y = operator(x)
            self.close(operator.lift(y), operator.lift(operator(strided)), self.solve_tolerance)

    def _wrong(
        self, operator: ForwardOperator, wrong: str, given: torch.Tensor, signal: bool
    ) -> object:
        """What is wrong in this way, or None where nothing can be."""
        shape = operator.signal_shape() if signal else operator.measurement_shape()
        if wrong == "batch":
            return given[:2] if operator.signals == 3 else None
        if wrong == "rank":
            return given.new_ones(()) if shape is None else given[:, None]
        if wrong == "size":
            return (
                None
                if shape is None or shape[-1] is None
                else torch.cat([given, given[..., :1]], dim=-1)
            )
        if wrong == "meta":
            return given.to("meta") if any(True for _ in operator.buffers()) else None
        return WRONG[wrong](given)

    def _ask(
        self, operator: ForwardOperator, entry: str, given: torch.Tensor, y: torch.Tensor
    ) -> object:
        one = torch.ones(1)
        if entry == "solve":
            return operator.solve(given, one, one)
        return (
            operator.pull(given, y, one, one)
            if entry == "pull"
            else getattr(operator, entry)(given)
        )

    def test_gradients_pass(self):
        operator, x = self.make(range(2)), self.signals(2).requires_grad_()
        assert torch.autograd.grad(operator(x).square().sum(), x)[0].isfinite().all()


class LinearOperatorContract(OperatorContract):
    """`adjoint` is the transpose, `solve` the inverse of (r2 A A^T + s2 I) and, at s2 = 0, the
    pseudo-inverse.
    """

    def test_dot_product(self):
        operator, x = self.make(range(3)), self.signals(3)
        assert isinstance(operator, LinearOperator)
        ax = operator.linear(x)
        y = operator.observed(torch.randn_like(ax))
        self.close((ax * y).flatten(1).sum(1), (x * operator.adjoint(y)).flatten(1).sum(1))

    def test_forward_is_affine(self):
        operator, x = self.make(range(3)), self.signals(3)
        self.close(operator(x) - operator(0 * x), operator.linear(x))

    def test_dense_twin(self):
        operator = self.make([0])
        a = dense(operator.linear, self.event_shape)
        measurement = operator(self.signals(1)).shape[1:]
        self.close(dense(operator.adjoint, measurement), a.T)
        x = self.signals(4)
        self.close(operator.linear(x).flatten(1), x.flatten(1) @ a.T)

    @pytest.mark.parametrize("shared", [False, True])
    def test_solve(self, shared):
        operator = self.make(range(3))
        y = operator(self.signals(3))
        v = torch.randn_like(y)
        r2, s2 = (
            (torch.tensor([0.7]), torch.tensor([0.2]))
            if shared
            else (torch.tensor([0.3, 1.0, 4.0]), torch.tensor([0.5, 0.05, 0.2]))
        )
        solved = operator.solve(v, r2, s2)
        for i in range(3):
            a = dense(self.make([i]).linear, self.event_shape)
            normal = r2[i % len(r2)] * a @ a.T + s2[i % len(s2)] * torch.eye(len(a))
            self.close(
                solved[i].flatten(),
                torch.linalg.solve(normal, v[i].flatten()),
                self.solve_tolerance,
            )

    def test_pseudo_inverse(self):
        operator = self.make(range(3))
        y = torch.randn_like(operator(self.signals(3)))
        x = operator.pseudo_inverse(y)
        for i in range(3):
            a = dense(self.make([i]).linear, self.event_shape)
            self.close(
                x[i].flatten(),
                torch.linalg.pinv(a, rtol=1e-7) @ y[i].flatten(),
                self.solve_tolerance,
            )

    def test_a_batch_of_none_is_solved(self):
        operator = self.make([])
        y = operator(self.signals(0))
        one = torch.ones(1)
        for s2 in (one, 0 * one):
            assert operator.solve(y, one, s2).shape == y.shape
        assert operator.adjoint(y).shape == (0, *self.event_shape)


class SpectralOperatorContract(LinearOperatorContract):
    """A = U diag(s) V^T with orthonormal columns in U and V."""

    def test_decomposition(self):
        operator = self.make([0])
        assert isinstance(operator, SpectralOperator)
        a = dense(operator.linear, self.event_shape)
        c = operator.v_t(self.signals(1))
        u, v = dense(operator.u, c.shape[1:]), dense(operator.v, c.shape[1:])
        s = operator.singular_values(c).expand_as(c).flatten()
        assert (s >= 0).all()
        self.close(u.T @ u, torch.eye(len(s)))
        self.close(v.T @ v, torch.eye(len(s)))
        self.close((u * s) @ v.T, a)
        self.close(dense(operator.u_t, operator(self.signals(1)).shape[1:]), u.T)
        self.close(dense(operator.v_t, self.event_shape), v.T)

    @pytest.mark.parametrize("batch", [0, 3])
    def test_the_decomposition_of_a_batch(self, batch):
        operator, x = self.make(range(batch)), self.signals(batch)
        c = operator.v_t(x)
        self.close(operator.u(operator.singular_values(c) * c), operator(x))

    def test_generic_solve_agrees(self):
        """The closed form of a subclass is that of the decomposition."""
        operator = self.make(range(3))
        v = operator(self.signals(3))
        r2, s2 = torch.tensor([0.3, 1.0, 4.0]), torch.tensor([0.5, 0.05, 0.2])
        self.close(
            operator.solve(v, r2, s2),
            SpectralOperator.solve(operator, v, r2, s2),
            self.solve_tolerance,
        )
