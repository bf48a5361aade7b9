"""A black box of the user's own as a forward operator.

    y = f(x_0) + noise,    f any function of a batch of signals

Where f can be differentiated, a residual pulls like that of any other operator; where it cannot, by
the difference that it makes to a reconstruction (`deft.operators.base.reach`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import final

import torch
from torch import Tensor

from deft.errors import InvalidInput
from deft.operators.base import ForwardOperator, pull_of_lifts
from deft.operators.parameters import event_shape_of
from deft.operators.whitening import Whitening
from deft.types import Measurement, Signal, Times

Function = Callable[..., Tensor]


@final
class CallableOperator(ForwardOperator):
    """f(x_0, *parameters), each parameter a tensor whose first axis runs over the signals (length
    1: shared by all).

    `event_shape` is that of the signals. Where `differentiable` is left False the function is
    called without gradients and need not be written in torch; then `lift(y, *parameters)`, a rough
    reconstruction, must be given; for another it is, by default, one gradient step from zero. A
    module given as a function is neither moved nor trained. Everything that a function returns is
    checked: raises `InvalidInput` for a shape that does not fit and for numbers that are not
    finite, with their place in the batch. Once a signal was measured, measurements of another shape
    are refused.
    """

    event_shape: tuple[int, ...]

    def __init__(
        self,
        function: Function,
        event_shape: Sequence[int],
        *,
        lift: Function | None = None,
        differentiable: bool = False,
        parameters: Sequence[Tensor] = (),
        name: str | None = None,
    ) -> None:
        super().__init__()
        for what, given in (("function", function), ("lift", lift)):
            if not callable(given) and not (given is None and what == "lift"):
                raise InvalidInput(
                    what, given=type(given).__name__, expected="a function of a batch"
                )
        self.event_shape, self.differentiable = (
            () if event_shape == () else event_shape_of(event_shape),
            differentiable,
        )
        self.name = name or _name(function)
        if lift is None and not differentiable:
            raise InvalidInput(
                f"{self.name} has no derivative, so that something must say which signal a "
                "measurement looks like: give lift=, a function of y, or "
                "differentiable=True where torch can differentiate it."
            )
        self.lift_name = None if lift is None else _name(lift)
        self._functions = (
            function,
            lift,
        )  # in a tuple, so that a module is not registered: it must not move with an observation
        self._num_parameters = len(parameters)
        for i, value in enumerate(parameters):
            if not isinstance(value, Tensor) or not value.ndim:
                raise InvalidInput(
                    f"parameters[{i}]",
                    given=value,
                    expected="a tensor whose first axis runs over the signals",
                    advice="torch.as_tensor(value)[None] is shared by all",
                )
            self.per_signal(f"parameter_{i}", value)

    @property
    def parameters_of_signals(self) -> tuple[Tensor, ...]:
        """What differs per signal, in the order in which it was given."""
        return tuple(getattr(self, f"parameter_{i}") for i in range(self._num_parameters))

    def forward(self, x_0: Signal) -> Measurement:
        follow = torch.is_grad_enabled() and x_0.requires_grad
        if follow and not self.differentiable:
            raise InvalidInput(
                f"a derivative of {self.name} is needed, which was given as a black box without "
                "one. Use LearnedHTransform, which needs none, or "
                "differentiable=True where torch can differentiate it."
            )
        with torch.set_grad_enabled(follow):
            y = self._checked(self._functions[0](x_0, *self.parameters_of_signals), x_0, self.name)
        if follow and not y.requires_grad:
            raise InvalidInput(
                f"{self.name} was given as differentiable, but its result does not depend on x_0 "
                "in a way that torch can follow."
            )
        return y

    def pull(self, x_0: Signal, residual: Measurement, r2: Times, s2: Times) -> Signal:
        """J^T residual / (r2 L^2 + s2) where f can be differentiated, else the difference that the
        residual makes to the reconstruction.
        """
        if self.differentiable:
            return super().pull(x_0, residual, r2, s2)
        return pull_of_lifts(self, x_0, residual, r2, s2)

    def whitened(self, whitening: Whitening) -> ForwardOperator:
        from deft.operators.whitened import WhitenedBlackBox

        known = self.differentiable
        return super().whitened(whitening) if known else WhitenedBlackBox(self, whitening)

    def _gradient(self, x_0: Signal, residual: Measurement) -> tuple[Signal, Measurement]:
        gradient, value = super()._gradient(x_0, residual)
        return self._finite(gradient, x_0, f"the derivative of {self.name}"), value

    def lift(self, y: Measurement) -> Signal:
        function = self._functions[1]
        if function is None:
            zero, one = y.new_zeros(len(y), *self.event_shape), y.new_ones(1)
            return self.pull(zero, y - self(zero), one, 0 * one)
        with torch.no_grad():
            x = self._checked(
                function(y, *self.parameters_of_signals), y, f"the lift of {self.name}"
            )
        if tuple(x.shape[1:]) != self.event_shape:
            raise InvalidInput(
                f"the lift of {self.name} must return signals of shape {self.event_shape}; it "
                f"returned {tuple(x.shape[1:])}."
            )
        return x

    def _checked(self, value: object, given: Tensor, what: str) -> Tensor:
        if not isinstance(value, Tensor):
            raise InvalidInput(
                f"{what} must return a torch.Tensor; it returned {type(value).__name__}. Wrap "
                "arrays in torch.as_tensor."
            )
        if not value.ndim or len(value) != len(given):
            raise InvalidInput(
                f"{what} was given a batch of {len(given)} and must return as many; it returned "
                f"the shape {tuple(value.shape)}."
            )
        if value.dtype != given.dtype or value.device != given.device:
            raise InvalidInput(
                f"{what} must return {given.dtype} on {given.device}, as it was given; it "
                f"returned {value.dtype} on {value.device}. Use .to(x)."
            )
        return self._finite(value, given, what)

    def _finite(self, value: Tensor, given: Tensor, what: str) -> Tensor:
        finite = value.detach().isfinite().flatten(1)
        if bool(finite.all()):
            return value
        where = [i for i, row in enumerate(finite.all(1).tolist()) if not row]
        kind = "NaN" if bool(value.isnan().any()) else "infinite numbers"
        here = "" if bool(given.isfinite().all()) else "; what it was given was not finite either"
        raise InvalidInput(
            f"{what} returned {kind} at the batch {'index' if len(where) == 1 else 'indices'} "
            f"{', '.join(map(str, where[:8]))}"
            f"{', ...' if len(where) > 8 else ''} of {len(given)}{here}."
        )


def _name(function: Function) -> str:
    named = function if hasattr(function, "__qualname__") else type(function)
    return f"{named.__module__}.{named.__qualname__}"
