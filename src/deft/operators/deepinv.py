"""deepinv's forward operators, as operators here.

    y = A((x_0 - low) / (high - low)) + noise,    A = physics.A

deepinv's images are in [0, 1]; (low, high) is what a prior means by that. A physics is anything
that has `A` and, where it is linear, `A_adjoint`, which is kept to its word by the dot product <A
u, v> = <u, A^T v>. deepinv itself is not imported.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

import torch
from torch import Tensor, nn

from deft import checks
from deft.errors import InvalidInput
from deft.operators.base import ForwardOperator, LinearOperator
from deft.operators.checked import Shape
from deft.operators.parameters import event_shape_of
from deft.operators.solvers import conjugate_gradients
from deft.operators.units import InUnits
from deft.storage.fingerprint import digest, in_half
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
    box = _Box(physics, event_shape, parameters or {})
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
class _Box:
    """A physics, asked with its parameters and checked: what it returns is real, finite, and one
    measurement for each signal.

    It is no module: an operator that moves or is copied does not drag it along.
    """

    def __init__(
        self, physics: Any, event_shape: Sequence[int], parameters: Mapping[str, Tensor]
    ) -> None:
        self.event_shape, self.parameters, self.name = (
            event_shape_of(event_shape),
            dict(parameters),
            type(physics).__name__,
        )
        self.physics = (
            _copied(physics) if parameters else physics
        )  # what is updated here is not the user's
        for name, value in self.parameters.items():
            if not isinstance(value, Tensor) or not value.ndim:
                raise InvalidInput(
                    f"the parameter {name!r} has a first axis over the signals; got {value!r}."
                )
            if not hasattr(physics, name):
                raise InvalidInput(f"{self.name} has no parameter {name!r} to be updated.")
        held = [*physics.parameters(), *physics.buffers()] if isinstance(physics, nn.Module) else []
        self.dtype = next(
            (value.dtype for value in held if value.is_floating_point()), torch.get_default_dtype()
        )
        self.device = next((value.device for value in held), torch.device("cpu"))
        sizes = {len(value) for value in self.parameters.values()} - {1}
        if len(sizes) > 1:
            raise InvalidInput(
                f"the parameters are for {' and '.join(map(str, sorted(sizes)))} signals; give as "
                "many of each, or one for all."
            )
        self.signals = next(iter(sizes), 1)
        self.probe = self.like((self.signals, *self.event_shape), 1)
        with torch.no_grad():
            seen = self.ask(self.physics.A, self.parameters, self.probe, "A")
            sensed = physics.sensor(seen) if callable(getattr(physics, "sensor", None)) else seen
        if self.signals > 1:
            first = {name: value[:1] for name, value in self.parameters.items()}
            with torch.no_grad():
                alone = self.ask(self.physics.A, first, self.probe[:1], "A")
            if alone.shape[1:] != seen.shape[1:] or not torch.allclose(
                alone, seen[:1], atol=1e-5 * float(seen.abs().max())
            ):
                raise InvalidInput(
                    f"{', '.join(self.parameters)} of {self.name} do not run over the signals: "
                    "the first one alone is measured otherwise."
                )
        if (
            not isinstance(sensed, Tensor)
            or sensed.shape != seen.shape
            or not torch.equal(sensed, seen)
        ):
            raise InvalidInput(
                f"{self.name} has a sensor_model, which comes after the noise, so that no "
                "likelihood here describes it; adapt the physics without it, and "
                "undo or model what it does."
            )
        self.response = seen

    def like(self, shape: Sequence[int], seed: int) -> Tensor:
        """A random tensor of the physics' kind, the same each time."""
        drawn = torch.randn(
            tuple(shape), generator=torch.Generator().manual_seed(seed), dtype=torch.float64
        )
        return drawn.to(self.device, self.dtype)

    def ask(
        self, method: Callable[..., Any], parameters: Mapping[str, Tensor], given: Tensor, what: str
    ) -> Tensor:
        """A method of the physics, in its own precision, with these parameters."""
        if parameters:
            self.physics.update_parameters(**parameters)
        value = method(given.to(self.dtype))
        what = f"{what} of {self.name}"
        if not isinstance(value, Tensor):
            raise InvalidInput(
                f"{what} returns {type(value).__name__}, not one tensor. Stacked measurements of "
                "several kinds cannot be adapted whole: adapt each part, and "
                "condition on them by Sum, or concatenate them in a physics of your own."
            )
        if value.is_complex():
            raise InvalidInput(
                f"{what} returns complex numbers; measurements here are real: return "
                "torch.view_as_real of them."
            )
        if not value.ndim or len(value) != len(given):
            raise InvalidInput(
                f"{what} was given {len(given)} signals and returned the shape "
                f"{tuple(value.shape)}. Where each signal has parameters of its own, name them in "
                "parameters=."
            )
        finite = value.detach().isfinite().flatten(1).all(1)
        if not bool(finite.all()):
            where = (~finite).nonzero().flatten().tolist()
            raise InvalidInput(
                f"{what} returned NaN or infinite numbers at the batch indices "
                f"{', '.join(map(str, where[:8]))} of {len(given)}."
            )
        return value.to(given.dtype)

    def identity(self) -> str:
        """A hash of the physics: its class, its tensors in half precision, its plain settings, and
        where its callables are from.
        """
        parts: list[bytes | str] = [
            f"{type(self.physics).__module__}.{type(self.physics).__qualname__} {self.event_shape}"
        ]
        values = self.physics.state_dict() if isinstance(self.physics, nn.Module) else {}
        for name, value in sorted(values.items()):
            if isinstance(value, Tensor):
                real = (
                    torch.view_as_real(value.detach().resolve_conj())
                    if value.is_complex()
                    else value.detach()
                )
                parts += [name, in_half(real)]
        for name, value in sorted(vars(self.physics).items()):
            if isinstance(value, (bool, int, float, str)) and name != "training":
                parts.append(f"{name} {value}")
            elif callable(value) and hasattr(value, "__qualname__"):
                parts.append(f"{name} {value.__module__}.{value.__qualname__}")
        return digest(*parts)[:16]


@final
class DeepinvOperator(ForwardOperator):
    """A physics that is not linear; differentiable where torch can follow it. `from_deepinv` makes
    it.

    `lift` is A_dagger, physics that solve by gradient descent included.
    """

    event_shape: tuple[int, ...]

    def __init__(self, box: _Box, scale: float = 1.0, offset: float = 0.0) -> None:
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

    def __init__(self, box: _Box, adjoint: str = "own") -> None:
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
        r2, s2 = expand(torch.as_tensor(r2), x_0).to(x_0), expand(torch.as_tensor(s2), x_0).to(x_0)
        return conjugate_gradients(
            lambda u: r2 * self.adjoint(self(u)) + s2 * u, self.adjoint(residual)
        )

    def pseudo_inverse(self, y: Measurement) -> Signal:
        return conjugate_gradients(lambda u: self.adjoint(self(u)), self.adjoint(y))

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


def _copied(physics: Any) -> Any:
    """A copy with parameters of its own; deepinv's way, which knows about random generators, where
    there is one.
    """
    return physics.clone() if callable(getattr(physics, "clone", None)) else copy.deepcopy(physics)


def _keep(operator: ForwardOperator, box: _Box) -> None:
    """What each signal has its own of, as the operator's."""
    for name, value in box.parameters.items():
        operator.per_signal(f"parameter_{name}", value)


def _parameters(operator: ForwardOperator, box: _Box) -> dict[str, Tensor]:
    return {name: getattr(operator, f"parameter_{name}") for name in box.parameters}


def _lifted(operator: ForwardOperator, box: _Box, y: Measurement) -> Signal:
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
