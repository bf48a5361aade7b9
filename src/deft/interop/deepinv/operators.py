"""deepinv's forward operators, as operators here.

    y = A((x_0 - low) / (high - low)) + noise,    A = physics.A

deepinv's images are in [0, 1]; (low, high) is what a prior means by that. A physics is anything
that has `A` and, where it is linear, `A_adjoint`, which is kept to its word by the dot product <A
u, v> = <u, A^T v>. deepinv itself is not imported.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, final

import torch
from torch import Tensor

from deft import checks
from deft.errors import InvalidInput
from deft.interop.deepinv.physics import Box
from deft.operators.base import ForwardOperator, LinearOperator
from deft.operators.checked import Shape
from deft.operators.units import InUnits
from deft.types import Mask, Measurement, Signal, Times, expand

# of <A u, v> - <u, A^T v> against |A u| |v|: exact adjoints in single precision are below 1e-7,
# approximate ones above 1e-4
_TOLERANCE = 1e-5


def from_deepinv(
    physics: Any,
    event_shape: Sequence[int],
    value_range: tuple[float, float] | None = (-1.0, 1.0),
    *,
    parameters: Mapping[str, Tensor] | None = None,
    adjoint: str = "own",
    unit: float = 1.0,
) -> ForwardOperator:
    """A deepinv physics without its noise, behind a prior whose signals are of shape `event_shape`
    (`observation_from_deepinv` knows the noise).

    `value_range` is what the prior means by deepinv's [0, 1]; None: the prior speaks the physics'
    own units. `parameters` are those of `physics.update_parameters` that each signal has its own
    of, by name: their first axis runs over the signals. `adjoint` is "own", which is checked, or
    "autograd", the derivative of A, checked too. A is multiplied by `unit`. A physics is linear
    where one of its classes is called LinearPhysics.
    """
    if not callable(getattr(physics, "A", None)):
        raise InvalidInput(
            f"a deepinv physics has a method A; {type(physics).__name__} has none. Wrap a "
            "function in a CallableOperator."
        )
    if adjoint not in ("own", "autograd"):
        raise InvalidInput(
            "adjoint is 'own' (physics.A_adjoint) or 'autograd' (the derivative of A); got "
            f"{adjoint!r}."
        )
    low, high = checks.finite_range(
        "value_range",
        (0.0, 1.0) if value_range is None else value_range,
        "what the prior means by [0, 1]",
    )
    unit = checks.positive("unit", unit, "what A is multiplied by")
    scale, offset = 1 / (high - low), -low / (high - low)
    box = Box(physics, event_shape, parameters or {})
    if "LinearPhysics" not in {cls.__name__ for cls in type(physics).__mro__}:
        if unit != 1:
            raise InvalidInput(
                f"unit multiplies a linear A; {type(physics).__name__} is not linear."
            )
        return DeepinvOperator(box, scale, offset)
    operator = DeepinvLinear(box, adjoint)
    return (
        operator
        if (scale * unit, offset) == (1.0, 0.0)
        else InUnits(operator, unit * scale, unit * offset)
    )


@final
class DeepinvOperator(ForwardOperator):
    """A physics that is not linear; differentiable where torch can follow it. `from_deepinv` makes
    it.

    `lift` is A_dagger, physics that solve by gradient descent included.
    """

    event_shape: tuple[int, ...]

    def __init__(self, box: Box, scale: float = 1.0, offset: float = 0.0) -> None:
        super().__init__()
        self.name, self.event_shape, self.scale, self.offset = (
            box.name,
            box.event_shape,
            float(scale),
            float(offset),
        )
        self.identity = box.identity()
        self._box = (box,)
        _keep(self, box)

    def measurement_shape(self) -> Shape:
        return tuple(self._box[0].response.shape[1:])

    def forward(self, x_0: Signal) -> Measurement:
        box = self._box[0]
        if not len(x_0):
            return x_0.new_empty(0, *box.response.shape[1:])
        return box.ask(box.physics.A, _parameters(self, box), self.scale * x_0 + self.offset, "A")

    def lift(self, y: Measurement) -> Signal:
        return (_lifted(self, self._box[0], y) - self.offset) / self.scale


@final
class DeepinvLinear(LinearOperator):
    """A linear physics, in its own units. `from_deepinv` makes it.

    `lift` is its A_dagger, `solve` conjugate gradients with its A and A^T. Entries of y on which no
    signal has an influence (pixels under a mask) are no measurements.
    """

    event_shape: tuple[int, ...]

    def __init__(self, box: Box, adjoint: str = "own") -> None:
        super().__init__()
        self.name, self.event_shape, self.adjoint_by = box.name, box.event_shape, adjoint
        self.identity = box.identity()
        self._box = (box,)
        _keep(self, box)
        self.per_signal("_seen", (box.response != 0).to(box.dtype))
        self._check_adjoint()
        ones = torch.ones_like(box.probe)
        self.per_signal("_coverage", self.lift(self(ones)).mean(1, keepdim=True).clamp(0, 1))

    def measurement_shape(self) -> Shape:
        return tuple(self._box[0].response.shape[1:])

    def forward(self, x_0: Signal) -> Measurement:
        box = self._box[0]
        if not len(x_0):
            return x_0.new_empty(0, *box.response.shape[1:])
        return box.ask(box.physics.A, _parameters(self, box), x_0, "A")

    def adjoint(self, y: Measurement) -> Signal:
        box = self._box[0]
        if not len(y):
            return y.new_empty(0, *self.event_shape)
        if self.adjoint_by == "own":
            return box.ask(box.physics.A_adjoint, _parameters(self, box), y, "A_adjoint")
        follow = torch.is_grad_enabled() and y.requires_grad
        with torch.inference_mode(False), torch.enable_grad():
            x = torch.zeros(
                len(y), *self.event_shape, dtype=y.dtype, device=y.device, requires_grad=True
            )
            return torch.autograd.grad(
                self(x), x, y if follow else y.detach().clone(), create_graph=follow
            )[0]

    def lift(self, y: Measurement) -> Signal:
        return _lifted(self, self._box[0], y)

    def solve(self, v: Measurement, r2: Times, s2: Times) -> Measurement:
        exact = expand(torch.as_tensor(s2), v) == 0
        if bool(exact.any()):  # a v outside the range of A has no solution: its part within
            v = torch.where(exact, self(self.pseudo_inverse(v)), v)
        return super().solve(v, r2, s2)

    def pull(self, x_0: Signal, residual: Measurement, r2: Times, s2: Times) -> Signal:
        """(r2 A^T A + s2 I)^{-1} A^T residual, which has a solution for every residual, at s2 = 0
        too.
        """
        return self._normal_solved(self.adjoint(residual), r2, s2)

    def pseudo_inverse(self, y: Measurement) -> Signal:
        return self._normal_solved(self.adjoint(y), torch.ones(1), torch.zeros(1))

    def coverage(self, like: Signal) -> Mask:
        """How much of a constant survives measuring and lifting: the mask, for inpainting."""
        covered: Tensor = self._coverage  # type: ignore[assignment]
        return covered.to(like).expand(len(like), *covered.shape[1:])

    def observed(self, y: Measurement) -> Measurement:
        return y * self._seen.to(y)  # type: ignore[operator]

    def count(self, y: Measurement) -> Tensor:
        return self._seen.to(y).expand_as(y).flatten(1).sum(1)  # type: ignore[operator]

    def _check_adjoint(self) -> None:
        box = self._box[0]
        with torch.no_grad():
            v = box.like(box.response.shape, 2)
            back = self.adjoint(v)
        if back.shape != box.probe.shape:
            raise InvalidInput(
                f"the adjoint of {box.name} returned the shape {tuple(back.shape)} for signals of "
                f"shape {tuple(box.probe.shape)}."
            )
        a, b = (
            (box.response.double() * v.double()).sum(),
            (box.probe.double() * back.double()).sum(),
        )
        error = float(
            (a - b).abs()
            / (box.response.double().norm() * v.double().norm()).clamp(
                min=torch.finfo(torch.float64).tiny
            )
        )
        if error > _TOLERANCE:
            what, instead = (
                ("A_adjoint", "adjoint='autograd', the derivative of A, or ")
                if self.adjoint_by == "own"
                else ("the derivative of A", "")
            )
            raise InvalidInput(
                f"{what} in {box.name} is not its adjoint: <A u, v> and <u, A^T v> differ by "
                f"{error:.1g} of |A u| |v|. Use {instead}the physics' own setting "
                "for an exact one (adjoint_via_backprop of Tomography)."
            )


def _keep(operator: ForwardOperator, box: Box) -> None:
    """What each signal has its own of, as the operator's."""
    for name, value in box.parameters.items():
        operator.per_signal(f"parameter_{name}", value)


def _parameters(operator: ForwardOperator, box: Box) -> dict[str, Tensor]:
    return {name: getattr(operator, f"parameter_{name}") for name in box.parameters}


def _lifted(operator: ForwardOperator, box: Box, y: Measurement) -> Signal:
    """A_dagger y."""
    if not len(y):
        return y.new_empty(0, *box.event_shape)
    with torch.no_grad():
        x = box.ask(box.physics.A_dagger, _parameters(operator, box), y, "A_dagger")
    if tuple(x.shape[1:]) != box.event_shape:
        raise InvalidInput(
            f"A_dagger of {box.name} returned signals of shape {tuple(x.shape[1:])}, not "
            f"{box.event_shape}, the prior's."
        )
    return x
