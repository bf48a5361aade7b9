"""Shapes, as types.

    Signal       a batch of clean or noisy signals x, any event shape: (batch, *event)
    Measurement  a batch of measurements y = A(x) + noise: (batch, *measurement)
    Mask         one channel in [0, 1] for all channels of a signal: (batch, 1, *space)
    Times        one time per signal, or one for all: (batch,) or (1,)
    LogProb      one number per signal: (batch,)

The tests check these annotations at run time (jaxtyping with beartype); users pay nothing.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

Signal = Float[Tensor, "batch *event"]
Measurement = Float[Tensor, "batch *measurement"]
Mask = Float[Tensor, "batch 1 *space"]
Times = Float[Tensor, "#batch"]
LogProb = Float[Tensor, " batch"]


def expand(values: Tensor, like: Tensor) -> Tensor:
    """Append axes of size 1, so that one value per signal broadcasts against `like`: (batch,) ->
    (batch, 1, ..., 1).
    """
    return values.reshape(values.shape + (1,) * (like.ndim - values.ndim))


def in_double(x: Tensor) -> Tensor:
    """x in double precision, where the device has it."""
    return x if x.device.type == "mps" else x.double()


def norm(x: Tensor) -> Tensor:
    """The Euclidean norm of each signal, over all axes but the first."""
    result: Tensor = x.flatten(1).norm(dim=1)
    return result


def inner(x: Tensor, y: Tensor) -> Tensor:
    """The inner product of each pair of signals, over all axes but the first."""
    return (x.flatten(1) * y.flatten(1)).sum(1)


Axes = Literal["vector", "sequence", "image", "volume", "cloud"]
"""What the axes of a signal are: (n,), (channels, length), (channels, height, width), (channels,
depth, height, width), and (places, 3) where places have no order."""


def as_index(index: Sequence[int] | Tensor) -> Tensor:
    """Which signals, as a tensor of integers; a list may be empty, a tensor may be boolean."""
    index = torch.as_tensor(index)
    return index.nonzero()[:, 0] if index.dtype == torch.bool else index.long()


def axes_of(event_shape: Sequence[int]) -> Axes:
    """What the axes of signals of a shape are, if nothing else is said: a vector, a sequence of
    channels, an image, a volume.
    """
    kinds: tuple[Axes, ...] = ("vector", "vector", "sequence", "image", "volume")
    return kinds[min(len(event_shape), 4)]
