"""Masks of random brush strokes, drawn until they hide a given share of the signal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from deft import checks
from deft.errors import InvalidInput
from deft.noise import Noise
from deft.problems.masks import Masks
from deft.types import Mask, Signal


@final
class FreeFormMasks(Masks):
    """Random brush strokes are missing: between `low` and `high` of the places, the share drawn
    uniformly per signal.

    A stroke is a row of discs along a smooth random walk. Strokes are drawn until they cover the
    share that was drawn, and the last one stops where it is reached, so that the number of missing
    places is exact. `width` is the range of a stroke's width, as a share of the shortest side.
    """

    def __init__(
        self, low: float = 0.2, high: float = 0.3, width: tuple[float, float] = (0.06, 0.16)
    ) -> None:
        least, most = checks.positive_range(
            "low and high",
            (low, high),
            "the shares of the signal between which it is hidden, below 1",
        )
        if not most < 1:
            raise InvalidInput(
                "low and high",
                given=(low, high),
                expected="shares of the signal that are hidden, 0 < low <= high < 1",
            )
        thin, wide = checks.positive_range(
            "width", width, "a stroke's width as a share of the shortest side, at most 1"
        )
        if not wide <= 1:
            raise InvalidInput(
                "width",
                given=tuple(width),
                expected="shares of the shortest side, 0 < low <= high <= 1",
            )
        self.low, self.high, self.width = least, most, (thin, wide)

    def draw(self, like: Signal, noise: Noise) -> Mask:
        space, generators = tuple(like.shape[2:]), noise.generators(0)
        places = math.prod(space)
        count = torch.tensor(
            [self._count(places, generator) for generator in generators], dtype=torch.long
        )
        first = torch.full(
            (len(like), places), math.inf
        )  # when a place is painted: the number of its first disc, later towards the rim
        short = torch.arange(len(like))  # the signals that need more strokes
        for round_ in range(_MAX_ROUNDS):
            where, when = self._strokes(space, [generators[i] for i in short])
            first[short] = first[short].scatter_reduce(
                1, where, when + round_ * _STROKES * _DISCS, "amin"
            )
            short = short[first[short].isfinite().sum(1) < count[short]]
            if not len(short):
                break
        order = first.argsort(dim=1, stable=True)
        seen = (torch.arange(places) >= count[:, None]).to(like.dtype)
        return (
            torch.empty_like(seen)
            .scatter_(1, order, seen)
            .reshape(len(like), 1, *space)
            .to(like.device)
        )

    def init_args(self) -> dict[str, object]:
        return {"low": self.low, "high": self.high, "width": list(self.width)}

    def _count(self, places: int, generator: torch.Generator) -> int:
        """How many places are missing."""
        share = self.low + (self.high - self.low) * float(
            torch.rand((), generator=generator, dtype=torch.float64)
        )
        return _whole(share * places, self.low * places, self.high * places)

    def _strokes(
        self, space: tuple[int, ...], generators: Sequence[torch.Generator]
    ) -> tuple[Tensor, Tensor]:
        """The places under a few strokes per signal, as flat indices, and when each is painted:
        (batch, discs times window).
        """
        axes, size, reach = len(space), torch.tensor(space, dtype=torch.float32), 0.5 * min(space)
        walk, start = (
            torch.empty(len(generators), _STROKES, _DISCS, axes),
            torch.empty(len(generators), _STROKES, 1 + axes),
        )
        for i, generator in enumerate(generators):
            walk[i].normal_(generator=generator)
            start[i].uniform_(generator=generator)
        walk[:, :, 1:] *= _TURN
        direction = torch.nn.functional.normalize(walk.cumsum(2), dim=3)
        low, high = self.width
        radius = (reach * (low + (high - low) * start[:, :, None, :1])).clamp(min=_THINNEST)
        centres = start[:, :, None, 1:] * size + _SPACING * radius * direction.cumsum(2)
        centres = (
            size - (size - centres.remainder(2 * size)).abs()
        )  # the walk is reflected at the borders
        half = math.ceil(max(reach * high, _THINNEST))
        window = torch.arange(-half, half + 1)
        where, when = torch.zeros((), dtype=torch.long), torch.zeros(())
        for axis, n in enumerate(space):
            shape = (*centres.shape[:3], *(1,) * axis, len(window))
            at = centres[..., axis, None].floor().long() + window
            distance = ((at + 0.5 - centres[..., axis, None]) / radius).masked_fill(
                (at < 0) | (at >= n), math.inf
            )
            where = where[..., None] * n + at.clamp(0, n - 1).reshape(shape)
            when = when[..., None] + (distance**2).reshape(shape)
        disc = torch.arange(_STROKES * _DISCS).reshape(_STROKES, _DISCS, *(1,) * axes)
        return where.flatten(1), (disc + 0.999 * when).masked_fill(when > 1, math.inf).flatten(1)


_STROKES, _DISCS, _MAX_ROUNDS = 6, 24, 100
_SPACING, _TURN, _THINNEST = 0.6, 0.35, 0.75  # in radii; in radians, about; in places


def _whole(wanted: float, low: float, high: float) -> int:
    """The whole number nearest to `wanted` within [low, high]; the one nearest to the range where
    it holds none.
    """
    least, most = math.ceil(low - 1e-9), math.floor(high + 1e-9)
    return (
        min(max(round(wanted), least), most) if least <= most else max(round(0.5 * (low + high)), 1)
    )
