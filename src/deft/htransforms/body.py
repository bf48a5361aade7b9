"""The network of a learned h-transform: for signals of any shape, sized as a share of the prior's
parameters.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, TypedDict, TypeVar

import torch

from deft import checks
from deft.errors import InvalidInput
from deft.htransforms.base import HTransform
from deft.likelihoods import Observation
from deft.networks import UNet
from deft.networks.unet import check_sizes
from deft.priors.base import Prior

H = TypeVar("H", bound=HTransform)


class Shape(TypedDict, total=False):
    """What shapes a U-Net (deft.networks.unet)."""

    channels: Sequence[int]
    blocks: int
    patch: int
    attention: Sequence[bool]
    fine: int


SMALL = Shape(channels=(32, 64, 64), blocks=1, patch=2, attention=(False, False, False), fine=0)


def plain(shape: Shape) -> dict[str, Any]:
    """The shape as a config keeps it; without a fine stage it says nothing of one."""
    lists = {
        name: list(value) if isinstance(value, Sequence) else value for name, value in shape.items()
    }
    return {name: value for name, value in lists.items() if name != "fine" or value}


def unet(event_shape: Sequence[int], in_channels: int, *, numbers: int, shape: Shape) -> UNet:
    """A U-Net whose output has the signal's shape. Raises `InvalidInput` for numbers that make
    none.
    """
    if len(event_shape) not in (2, 3):
        raise InvalidInput(
            "a learned h-transform takes signals of shape (channels, length) or (channels, "
            f"height, width); got {tuple(event_shape)}; "
            "FlatHTransform takes vectors."
        )
    check_sizes(**shape)
    axes, entry = len(event_shape) - 1, 1 if shape["patch"] > 2 else 3
    return UNet(in_channels, event_shape[0], numbers=numbers, axes=axes, entry=entry, **shape)


def sized(
    make: Callable[..., H],
    prior: Prior,
    fraction: float,
    blocks: int,
    patch: int | None,
    fine: int = 0,
) -> H:
    """make(event_shape, scale, **shape) with about `fraction` of the prior's parameters.

    The network enters at 16 to 32 places per axis and halves them down to 8 or so, where it attends
    to all places at once; width is what a larger fraction buys. From 32 on widths are multiples of
    16, which vector units take at once: 34 channels cost more than 48.
    """
    if prior.event_axes not in ("sequence", "image"):
        raise InvalidInput(
            "a learned h-transform reads sequences (channels, length) and images (channels, "
            "height, width)",
            given=f"a prior of a {prior.event_axes}, {tuple(prior.event_shape)}",
            expected="a prior of sequences or images",
            advice="FlatHTransform takes vectors; for points without an order, write an "
            "h-transform of your own",
        )
    checks.share(
        "fraction", fraction, "the h-transform's share of the prior's parameters", zero=False
    )
    patch = patch or default_patch(prior.event_shape)
    levels = max(1, min(4, 1 + round(math.log2(max(prior.event_shape[1:]) / patch / 8))))

    def build(width: int) -> H:
        channels = [_even(width * (1 + 0.6 * level)) for level in range(levels)]
        attention = [level == levels - 1 for level in range(levels)]
        return make(
            prior.event_shape,
            prior.scale,
            channels=channels,
            blocks=blocks,
            patch=patch,
            attention=attention,
            fine=fine,
        )

    @cache
    def size(width: int) -> int:
        with torch.device("meta"):
            return build(width).num_parameters

    goal = fraction * prior.num_parameters
    width = best = 4
    while size(width) < 1.3 * goal:
        width += 2
        best = min(best, width, key=lambda w: abs(size(w) - goal))
    return build(best)


def lifts_to(h_transform: HTransform, event_shape: Sequence[int], observation: Observation) -> None:
    """Raise `InvalidInput` where the operator does not lift its measurements to signals of that
    shape; the lift is computed once for all steps.
    """
    lifted, name = tuple(observation.lifted.shape[1:]), type(h_transform).__name__
    if lifted != tuple(event_shape):
        raise InvalidInput(
            f"{type(observation.operator).__name__} lifts its measurements to signals of shape "
            f"{lifted}; {name} was made for {tuple(event_shape)}.",
            given=lifted,
            expected=f"the shape {tuple(event_shape)}",
        )


def _even(width: float) -> int:
    """The nearest multiple of 16 from 32 on, of 2 below."""
    unit = 16 if width >= 28 else 2
    return unit * round(width / unit)


def default_patch(event_shape: Sequence[int]) -> int:
    """2, 4 or 8, growing with the width: the network works on about 16 to 32 places per axis up to
    256.
    """
    result: int = 2 ** min(max(round(math.log2(max(event_shape[1:]) / 20)), 1), 3)
    return result
