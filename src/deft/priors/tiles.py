"""Where tiles lie on a picture, and the windows that blend what is said of them.

    tile k holds the places o_k + [0, L),    o_k = 0, L - overlap, 2 (L - overlap), ..., N - L
    w_k(i) = v(i - o_k) / sum_j v(i - o_j),    v(i) = sin^2(pi (i + 1/2) / L)
    x      = sum_k C_k^T (w_k C_k x)

along each axis, with N places of the picture and L of a tile; over several axes offsets are pairs
and windows products. C_k cuts tile k out. The last tile ends where the picture ends, so that
neighbours share `overlap` places at least. The windows sum to one everywhere (a partition of unity)
and fall smoothly to nearly zero at a border that lies within the picture.

Where tiles lie still, the mean of two estimates falls on the same places at every step, which makes
samples smoother there. They may drift instead, along each axis by the distance of two tiles in six
units of the log-SNR, after which they lie as before,

    o_k = 0, f, f + (L - overlap), ..., N - L,    f = u (1 + m mod (L - overlap) / u)
    m   = +- floor((log-SNR + 0.382) (L - overlap) / (6 u)),
    u   = gcd(8, L - overlap, floor((L - overlap) / 2))

down along even axes, up along odd ones. They move by u at a time, so that tiles begin where
networks that halve three times, and averages of 2, 4 and 8 places, have them begin; and slowly, so
that a place has nearly the same tile in neighbouring steps, which samplers of second order compare.
It depends on the log-SNR alone: prior and h-transform move together, and pictures, samples and
batches do not matter.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Literal, final, get_args

import torch
from torch import Tensor

from deft import checks
from deft.errors import InvalidInput

_PER_ENTRY = 256  # numbers that a network holds at once for each entry of its signal, about
_SHARE = 0.25  # of the free memory that one micro-batch may take
_MOST = {"cpu": 16}  # tiles at once; a core gains nothing from more
_MOST_ELSEWHERE = 512
_UNIT = 8  # tiles move by multiples of it, where their distance is one
_ROUND = 6.0  # units of the log-SNR in which tiles move to where the next ones were
_BETWEEN = 0.382  # so that grids of round log-SNRs do not fall where tiles move

Layout = Literal["moving", "fixed"]
Places = tuple[tuple[int, Tensor], ...]  # offsets, each with its window


@final
@dataclass(frozen=True)
class Tiles:
    """Tiles of the shape `tile` on pictures of the shape `event_shape`, both (channels, *space).

    `overlap` is the least number of places that neighbours share, a quarter of the tile's shortest
    side by default; `batch` how many tiles are worked on at once, by default what a quarter of the
    free memory holds. Raises `InvalidInput` for a picture with a side shorter than the tile's.
    """

    event_shape: tuple[int, ...]
    tile: tuple[int, ...]
    overlap: int | None = None
    batch: int | None = None
    layout: Layout = "moving"

    def __post_init__(self) -> None:
        event_shape, tile = checked_shape(self.event_shape, self.tile), tuple(self.tile)
        short = min(tile[1:])
        overlap = (
            short // 4
            if self.overlap is None
            else checks.whole(
                "overlap",
                self.overlap,
                least=0,
                most=short - 1,
                meaning="the places that neighbouring tiles share, fewer than a tile has",
                advice=f"{short // 4} is the usual one",
            )
        )
        batch = self.batch
        if batch is not None:
            batch = checks.whole(
                "batch",
                batch,
                meaning="the tiles that are worked on at once",
                advice="leave it out for what the free memory holds",
            )
        checks.name("layout", self.layout, get_args(Layout))
        for name, value in (
            ("event_shape", event_shape),
            ("tile", tile),
            ("overlap", overlap),
            ("batch", batch),
        ):
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        """How many tiles a picture has while they lie still."""
        return math.prod(len(axis) for axis in self._still)

    @cached_property
    def _still(self) -> tuple[Places, ...]:
        """Offsets and windows along each axis, made when they are needed: a card may name any
        size.
        """
        return self._from(self._strides)

    @property
    def _strides(self) -> tuple[int, ...]:
        assert self.overlap is not None
        return tuple(size - self.overlap for size in self.tile[1:])

    def _from(self, first: Sequence[int]) -> tuple[Places, ...]:
        """Offsets and windows, the second tile beginning at `first`, along each axis."""
        spaces = zip(self.event_shape[1:], self.tile[1:], self._strides, first)
        return tuple(_along(*space) for space in spaces)

    def _at(self, log_snr: float) -> tuple[Places, ...]:
        """Where tiles lie at a noise level."""
        first = []
        for axis, stride in enumerate(self._strides):
            unit = math.gcd(_UNIT, stride, stride // 2)
            moved = math.floor(stride / (_ROUND * unit) * (log_snr + _BETWEEN))
            first.append(unit * (1 + (-moved if axis % 2 else moved) % (stride // unit)))
        return self._from(first)

    @property
    def offsets(self) -> tuple[tuple[int, ...], ...]:
        """Where tiles begin, along each axis, while they lie still."""
        return tuple(tuple(start for start, _ in axis) for axis in self._still)

    def cuts(self, signals: int, like: Tensor, log_snr: Tensor) -> Iterator[Cut]:
        """All tiles of `signals` pictures at these noise levels, one for each or one for all, some
        at a time: as many as the device of `like` holds, unless `batch` says it.
        """
        levels = log_snr.tolist()
        moved = {
            level: self._still if self.layout == "fixed" else self._at(level)
            for level in set(levels)
        }
        of = levels if len(levels) == signals else levels * signals
        every = [(i, places) for i in range(signals) for places in product(*moved[of[i]])]
        size = self.batch or room(self.tile, like.device)
        for start in range(0, len(every), size):
            part = every[start : start + size]
            yield Cut(self, [owner for owner, _ in part], [places for _, places in part])


@final
class Cut:
    """Some tiles, each of one picture of a batch: `owner` says of which."""

    def __init__(self, tiles: Tiles, owner: Sequence[int], places: Sequence[Places]) -> None:
        self.tiles, self.places = tiles, places
        self.owner = torch.tensor(owner, dtype=torch.long)

    def __len__(self) -> int:
        return len(self.places)

    def of(self, x: Tensor) -> Tensor:
        """The tiles of pictures, (batch or 1, any channels, *space): (tiles, channels, *tile)."""
        shared = len(x) == 1
        return torch.stack(
            [
                x[0 if shared else i][self._where(places)]
                for i, places in zip(self.owner.tolist(), self.places)
            ]
        )

    def each(self, value: Tensor) -> Tensor:
        """What there is one of for each picture, for each tile; one for all stays as it is."""
        return value if len(value) == 1 else value[self.owner.to(value.device)]

    def add(self, total: Tensor, said: Tensor) -> None:
        """Add what was said of these tiles to whole pictures, under the windows."""
        for i, places, one in zip(self.owner.tolist(), self.places, said):
            total[i][self._where(places)] += _window(places, one) * one

    def _where(self, places: Places) -> tuple[slice, ...]:
        sizes = self.tiles.tile[1:]
        return (
            slice(None),
            *(slice(start, start + size) for (start, _), size in zip(places, sizes)),
        )


def checked_shape(event_shape: Sequence[int], tile: Sequence[int]) -> tuple[int, ...]:
    """The shape of the whole picture. Raises `InvalidInput` unless a tile fits into it."""
    tile, names = tuple(tile), "(channels, *space)"
    if len(tile) < 2:
        raise InvalidInput(
            "tiles", given=tile, expected=f"signals of shape {names}", advice="vectors have none"
        )
    sizes = tuple(
        checks.whole("event_shape", n, most=1 << 24, meaning="the sizes of the whole picture")
        for n in event_shape
    )
    if len(sizes) != len(tile) or sizes[0] != tile[0]:
        raise InvalidInput(
            "event_shape",
            given=sizes,
            expected=f"{names} with as many channels and axes as a tile has, {tile}",
        )
    if any(n < size for n, size in zip(sizes[1:], tile[1:])):
        raise InvalidInput(
            "the picture",
            given=" x ".join(map(str, sizes[1:])),
            expected=f"at least {' x '.join(map(str, tile[1:]))}, the size of one tile",
            advice="enlarge or pad it",
        )
    return sizes


def room(tile: Sequence[int], device: torch.device) -> int:
    """How many tiles of this shape a network works on at once: what a quarter of the free memory
    holds, at about 256 numbers for each entry, and at most 16 on a CPU.
    """
    needs = 4 * _PER_ENTRY * math.prod(tile)
    return max(
        1, min(int(_SHARE * _free(device)) // needs, _MOST.get(device.type, _MOST_ELSEWHERE))
    )


def _free(device: torch.device) -> int:
    """Bytes of free memory; a gigabyte where the device does not say."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return 1 << 30


def _along(n: int, size: int, stride: int, first: int) -> Places:
    """Where tiles begin along an axis, each with its window."""
    starts = sorted({0, *range(first, n - size, stride), n - size})
    bump = (torch.pi * (torch.arange(size, dtype=torch.float64) + 0.5) / size).sin().square()
    total = torch.zeros(n, dtype=torch.float64)
    for start in starts:
        total[start : start + size] += bump
    return tuple((start, bump / total[start : start + size]) for start in starts)


def _window(places: Places, like: Tensor) -> Tensor:
    """The product of the windows along the axes."""
    window = torch.ones((), dtype=torch.float64)
    for _, along in places:
        window = window[..., None] * along
    return window[None].to(like)
