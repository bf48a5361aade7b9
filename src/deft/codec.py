"""Signal space, where things are measured and looked at, and prior space, where x_t lives: pixels
and latents, say.

    x = D(z),    z ~ E(x)

A prior whose signals are latents has a `codec`. Operators, observations, measures and pictures
speak of x; samplers and h-transforms of z.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
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
    `gain` is about the mean of |D(z + d) - D(z)|^2 / |d|^2; `at_once` is how many signals are
    decoded at a time, None for all; `about` says in words what it is.
    """

    signal_shape: tuple[int, ...]
    event_shape: tuple[int, ...]
    is_linear: bool = False  # whether decode is affine, and given as a matrix
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
