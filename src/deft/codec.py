"""Signal space, where things are measured and looked at, and prior space, where x_t lives: pixels
and latents, say.

    x = D(z),    z ~ E(x)

A prior whose signals are latents has a `codec`. Operators, observations, measures and pictures
speak of x; samplers and h-transforms of z.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from deft import checks
from deft.errors import InvalidInput

Codes = Float[Tensor, "batch *code"]
Signals = Float[Tensor, "batch *signal"]


class Codec(nn.Module, ABC):
    """From prior space to signal space and back. `signal_shape` is that of x, `event_shape` that of
    z. Frozen; gradients pass through `decode`.

    `error` is the standard deviation of A(x) - A(D(E(x))) per entry of y, measured on images for
    one problem (deft.training.codec_error): a likelihood behind the codec adds it to sigma_y.
    `value_range` is that of x, where it has one. `gain` is about the mean of
    |D(z + d) - D(z)|^2 / |d|^2; `at_once` is how many signals are decoded at a time, None for all;
    `about` says in words what it is.
    """

    signal_shape: tuple[int, ...]
    event_shape: tuple[int, ...]
    is_linear: bool = False  # whether decode is affine, and given as a matrix
    value_range: tuple[float, float] | None = None
    error: float = 0.0
    gain: float = 1.0
    at_once: int | None = None
    about: str = ""

    @abstractmethod
    def decode(self, z: Codes) -> Signals:
        """x = D(z)."""

    @abstractmethod
    def encode(self, x: Signals) -> Codes:
        """A z whose D(z) is near x."""


@final
class LinearCodec(Codec):
    """D(z) = W z + b, with W (entries of x, entries of z) and b of the shape of x; E is the
    least-squares solution, W^+ (x - b).

    Raises `InvalidInput` for a W that does not fit the shapes, is not finite, or has columns that
    depend on each other.
    """

    is_linear = True
    weight: Tensor
    bias: Tensor
    inverse: Tensor

    def __init__(
        self,
        weight: Float[Tensor, "entries latents"],
        signal_shape: tuple[int, ...],
        event_shape: tuple[int, ...],
        bias: Tensor | None = None,
    ) -> None:
        super().__init__()
        for what, shape in (("signal_shape", signal_shape), ("event_shape", event_shape)):
            for n in shape or (0,):
                checks.whole(what, n, meaning="the sizes of one signal")
        expected = (math.prod(signal_shape), math.prod(event_shape))
        if tuple(weight.shape) != expected or not bool(weight.isfinite().all()):
            raise InvalidInput(
                "weight",
                given=f"numbers of shape {tuple(weight.shape)}",
                expected=f"{expected}, finite: entries of x by entries of z",
            )
        if int(torch.linalg.matrix_rank(weight.double())) < expected[1]:
            raise InvalidInput(
                "weight",
                given="columns that depend on each other",
                expected="a z for each x that is decoded, and one only",
            )
        self.signal_shape, self.event_shape = tuple(signal_shape), tuple(event_shape)
        self.register_buffer("weight", weight)
        self.register_buffer(
            "bias",
            torch.zeros(self.signal_shape).to(weight)
            if bias is None
            else bias.reshape(self.signal_shape).to(weight),
        )
        self.register_buffer("inverse", torch.linalg.pinv(weight.double()).to(weight))

    def decode(self, z: Codes) -> Signals:
        return self.linear(z) + self.bias.to(z)

    def encode(self, x: Signals) -> Codes:
        result: Codes = ((x - self.bias.to(x)).flatten(1) @ self.inverse.to(x).T).unflatten(
            1, self.event_shape
        )
        return result

    def linear(self, z: Codes) -> Signals:
        """W z."""
        result: Signals = (z.flatten(1) @ self.weight.to(z).T).unflatten(1, self.signal_shape)
        return result

    def adjoint(self, x: Signals) -> Codes:
        """W^T x."""
        result: Codes = (x.flatten(1) @ self.weight.to(x)).unflatten(1, self.event_shape)
        return result


@final
class CallableCodec(Codec):
    """An autoencoder of one's own: D and E are any two functions of batches, such as the halves of
    a network, which `module` registers.

    The module is frozen, is given numbers in the precision of its parameters, and tells this codec
    from another in the identity of a prior. `gain` and `at_once` are as in `Codec`. Raises
    `InvalidInput` where D of zeros is no finite batch of `signal_shape`, or E of that none of
    `event_shape`.
    """

    def __init__(
        self,
        decode: Callable[[Tensor], Tensor],
        encode: Callable[[Tensor], Tensor],
        signal_shape: tuple[int, ...],
        event_shape: tuple[int, ...],
        *,
        module: nn.Module | None = None,
        value_range: tuple[float, float] | None = (-1.0, 1.0),
        gain: float = 1.0,
        at_once: int | None = None,
    ) -> None:
        super().__init__()
        self.signal_shape, self.event_shape = tuple(signal_shape), tuple(event_shape)
        self.gain = checks.positive("gain", gain, "|D(z + d) - D(z)|^2 / |d|^2")
        if at_once is not None:
            checks.whole("at_once", at_once, meaning="signals decoded at a time")
        if value_range is not None:
            value_range = checks.finite_range("value_range", value_range, "the values of signals")
        self.at_once, self.value_range = at_once, value_range
        self._functions, self.module = (decode, encode), module
        self.eval().requires_grad_(False)
        like = next(self.parameters(), torch.zeros(()))
        with torch.no_grad():
            z = torch.zeros(2, *self.event_shape, dtype=like.dtype, device=like.device)
            for what, shape in (("decode", self.signal_shape), ("encode", self.event_shape)):
                z = self.decode(z) if what == "decode" else self.encode(z)
                if tuple(z.shape) != (2, *shape) or not bool(z.isfinite().all()):
                    raise InvalidInput(
                        what,
                        given=f"a result of shape {tuple(z.shape)} for a batch of 2",
                        expected=f"(2, {', '.join(map(str, shape))}), finite",
                    )

    def decode(self, z: Codes) -> Signals:
        return self._few(self._functions[0], z)

    def encode(self, x: Signals) -> Codes:
        return self._few(self._functions[1], x)

    def _few(self, what: Callable[[Tensor], Tensor], value: Tensor) -> Tensor:
        known = next((p.dtype for p in self.parameters() if p.is_floating_point()), value.dtype)
        return few_at_a_time(lambda part: what(part.to(known)).to(part.dtype), value, self.at_once)


def few_at_a_time(what: Callable[[Tensor], Tensor], value: Tensor, most: int | None) -> Tensor:
    """`what` of a batch, of at most so many at a time."""
    if most is None or len(value) <= most:
        return what(value)
    return torch.cat([what(part) for part in value.split(most)])
