"""Masks for inpainting, drawn per signal: 1 = observed, 0 = missing.

A signal's mask depends on its own seed alone. Every class works for images and for 1-D signals;
`card` says how to rebuild it.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from deft import checks
from deft.errors import InvalidInput, nearest_names
from deft.noise import Noise
from deft.storage import mask_files, pictures
from deft.storage.cards import card_of
from deft.types import Mask, Signal


class Masks(ABC):
    """A distribution over masks."""

    @abstractmethod
    def draw(self, like: Signal, noise: Noise) -> Mask:
        """One mask per signal of `like`: (batch, 1, *space)."""

    @abstractmethod
    def init_args(self) -> dict[str, object]:
        """The arguments that rebuild this distribution; plain values."""

    def card(self) -> dict[str, object]:
        """The distribution as plain values (deft.storage.cards)."""
        return card_of(self, self.init_args())


@final
class BoxMasks(Masks):
    """A box whose sides are `fraction` of the signal's is missing: in the centre, or
    (`centred=False`) at a place drawn per signal.
    """

    def __init__(self, fraction: float = 0.5, centred: bool = True) -> None:
        self.fraction, self.centred = (
            checks.share(
                "fraction", fraction, "the box's share of each side", zero=False, one=False
            ),
            centred,
        )

    def draw(self, like: Signal, noise: Noise) -> Mask:
        space = like.shape[2:]
        sides = [min(max(round(self.fraction * n), 1), n) for n in space]
        hidden = torch.ones(len(like), 1, *space, dtype=like.dtype, device=like.device)
        place = noise.uniform(0, (len(space),)).to(like.device) if not self.centred else None
        for axis, (n, side) in enumerate(zip(space, sides, strict=True)):
            if place is None:
                start = torch.full((len(like), 1), (n - side) // 2, device=like.device)
            else:
                start = (place[:, axis : axis + 1] * (n - side + 1)).floor()
            at = torch.arange(n, device=like.device)
            inside = ((at >= start) & (at < start + side)).to(like.dtype)
            hidden = hidden * inside.reshape(
                len(like), 1, *(n if k == axis else 1 for k in range(len(space)))
            )
        return 1 - hidden

    def init_args(self) -> dict[str, object]:
        return {"fraction": self.fraction, "centred": self.centred}


@final
class RandomPixelMasks(Masks):
    """`keep` of the places are observed, drawn without replacement (their number is the same for
    every signal).
    """

    def __init__(self, keep: float = 0.1) -> None:
        self.keep = checks.share("keep", keep, "the share of observed places", zero=False)

    def draw(self, like: Signal, noise: Noise) -> Mask:
        space = like.shape[2:]
        count = max(round(self.keep * math.prod(space)), 1)
        order = noise.to("cpu").uniform(0, (math.prod(space),)).argsort(dim=1)
        mask = torch.zeros(order.shape, dtype=like.dtype).scatter(1, order[:, :count], 1.0)
        return mask.reshape(len(like), 1, *space).to(like.device)

    def init_args(self) -> dict[str, object]:
        return {"keep": self.keep}


@final
class RowMasks(Masks):
    """Every `every`-th row is observed, from row `first` on; of 1-D signals, every such place."""

    def __init__(self, every: int = 2, first: int = 0) -> None:
        self.every = checks.whole("every", every, meaning="rows for each that is observed")
        self.first = checks.whole(
            "first", first, least=0, most=self.every - 1, meaning="the first row that is observed"
        )

    def draw(self, like: Signal, noise: Noise) -> Mask:
        rows = torch.arange(like.shape[2], device=like.device) % self.every == self.first
        flat = rows.to(like.dtype).reshape(1, 1, -1, *(1 for _ in like.shape[3:]))
        return flat.expand(len(like), 1, *like.shape[2:]).contiguous()

    def init_args(self) -> dict[str, object]:
        return {"every": self.every, "first": self.first}


@final
class HalfMasks(Masks):
    """Half of the signal is missing: `hidden` is "left", "right", "top" or "bottom" (1-D: left or
    right), or None to draw it per signal.
    """

    def __init__(self, hidden: str | None = None) -> None:
        if hidden is not None and hidden not in _HALVES:
            raise InvalidInput(
                f"hidden is {', '.join(_HALVES)} or None (drawn per signal); got "
                f"{hidden!r}{nearest_names(hidden, list(_HALVES))}"
            )
        self.hidden = hidden

    def draw(self, like: Signal, noise: Noise) -> Mask:
        space = like.shape[2:]
        halves = [name for name, (axis, _) in _HALVES.items() if axis <= len(space)]
        if self.hidden is not None and self.hidden not in halves:
            raise InvalidInput(
                f"a signal of size {tuple(space)} has no {self.hidden} half; choose "
                f"{' or '.join(halves)}."
            )
        masks = torch.stack([_half(space, *_HALVES[name]) for name in halves]).to(like)
        if self.hidden is not None:
            which = torch.full((len(like),), halves.index(self.hidden))
        else:
            which = (noise.to("cpu").uniform(0) * len(halves)).long()
        return masks[which.to(like.device)][:, None]

    def init_args(self) -> dict[str, object]:
        return {"hidden": self.hidden}


_HALVES = {
    "left": (1, False),
    "right": (1, True),
    "top": (2, False),
    "bottom": (2, True),
}  # axis from the end; whether the far half is hidden


def _half(space: Sequence[int], axis: int, far: bool) -> Tensor:
    n = space[-axis]
    at = torch.arange(n)
    seen = (at < n - n // 2) if far else (at >= n // 2)
    return seen.float().reshape(n, *(1,) * (axis - 1)).expand(*space)


@final
class CartesianMasks(Masks):
    """Lines of frequencies for MRI: all of the central ones, and others drawn without replacement;
    a line runs along all axes but the last.

    One in `acceleration` lines is measured, their number the same for every signal; `centre` is the
    central lines' share of all. The frequency 0 stands at n // 2. Zbontar et al. 2018,
    arXiv:1811.08839 (fastMRI): 4 and 0.08, or 8 and 0.04; there only the expected number is fixed.
    """

    def __init__(self, acceleration: float = 4.0, centre: float = 0.08) -> None:
        self.acceleration = checks.at_least(
            "acceleration", acceleration, 1, "how many lines there are for each that is measured"
        )
        self.centre = checks.share("centre", centre, "the share of central lines")
        if not self.centre <= 1 / self.acceleration:
            expected = (
                "a share of central lines between 0 and that of all measured lines, "
                f"{1 / self.acceleration:g}"
            )
            raise InvalidInput(
                "centre",
                given=centre,
                expected=expected,
                advice="lower centre, or the acceleration",
            )

    def draw(self, like: Signal, noise: Noise) -> Mask:
        n = like.shape[-1]
        count = max(round(n / self.acceleration), 1)
        central = min(round(self.centre * n), count)
        rank = noise.to("cpu").uniform(0, (n,))
        start = n // 2 - central // 2
        rank[:, start : start + central] = -1.0
        lines = torch.zeros_like(rank).scatter(1, rank.argsort(dim=1)[:, :count], 1.0)
        return (
            lines.reshape(len(like), 1, *(1 for _ in like.shape[3:]), n)
            .expand(len(like), 1, *like.shape[2:])
            .to(like)
            .contiguous()
        )

    def init_args(self) -> dict[str, object]:
        return {"acceleration": self.acceleration, "centre": self.centre}


@final
class MaskFiles(Masks):
    """The masks in the pictures of a folder, one drawn per signal: white (at least half of the
    brightness, or 1 of 0 and 1), or opaque, where observed; `invert` turns them round.
    """

    def __init__(self, folder: str, invert: bool = False) -> None:
        self.folder, self.invert = str(folder), bool(invert)
        self._masks = [
            (path.name, torch.from_numpy(mask_files.mask(path, self.invert)))
            for path in pictures.found(folder, "masks", mask_files.MASKS)
        ]

    def draw(self, like: Signal, noise: Noise) -> Mask:
        space = tuple(like.shape[2:])
        for name, mask in self._masks:
            if tuple(mask.shape) != space:
                raise InvalidInput(
                    f"the mask {name} has the size {tuple(mask.shape)} (height, width), the "
                    f"signal {space}; they must be equal."
                )
        which = (noise.to("cpu").uniform(0) * len(self._masks)).long().tolist()
        rows = [self._masks[k][1] for k in which]
        mask = torch.stack(rows) if rows else torch.empty(0, *space)
        return mask[:, None].to(like)

    def init_args(self) -> dict[str, object]:
        return {"folder": self.folder, **({"invert": True} if self.invert else {})}
