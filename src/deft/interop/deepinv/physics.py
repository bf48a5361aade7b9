"""A deepinv physics, asked for measurements and checked; nothing else here calls one."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

import torch
from torch import Tensor, nn

from deft.errors import InvalidInput
from deft.operators.parameters import event_shape_of
from deft.storage.fingerprint import digest, in_half


@final
class Box:
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


def _copied(physics: Any) -> Any:
    """A copy with parameters of its own; deepinv's way, which knows about random generators, where
    there is one.
    """
    return physics.clone() if callable(getattr(physics, "clone", None)) else copy.deepcopy(physics)
