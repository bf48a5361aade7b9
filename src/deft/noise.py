"""Random numbers that depend on a sample's own seed and on nothing else.

    z = normal(seed_of_the_sample, stream, step)

Each sample has one integer seed. A draw is a pure function of (seed, stream, step, shape), so that
a sample is the same alone and in a batch, in any order, on any number of processes, and after a
resume. It is made on the device where it is used, by a counter-based generator whose integers are
the same on every device (deft.philox).
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import SupportsIndex, final

import torch
from torch import Tensor

from deft import philox
from deft.errors import InvalidInput
from deft.types import as_index

_MASK, _WORD = (1 << 64) - 1, (1 << 32) - 1


def mix(*values: int) -> int:
    """A 63-bit hash of integers (SplitMix64, Steele et al. 2014), for seeds of independent
    streams.
    """
    state = 0
    for value in values:
        state = (state + value + 0x9E3779B97F4A7C15) & _MASK
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
        state ^= state >> 31
    return state >> 1


def as_seed(value: SupportsIndex) -> int:
    """A seed as a Python integer, whatever kind of integer it is. Raises `InvalidInput` for
    booleans and for numbers with a fraction.
    """
    truth = isinstance(value, bool) or (isinstance(value, Tensor) and value.dtype == torch.bool)
    try:
        if not truth:
            return operator.index(value)
    except TypeError:
        pass
    raise InvalidInput(f"a seed is an integer; got {value!r}, a {type(value).__name__}.")


@final
class Noise:
    """Counter-based draws, one integer seed per sample.

    `stream(k)` gives an independent source with the same samples; `take(index)` the source of some
    of them. `generator` names what draws: results record it.
    """

    generator = philox.NAME

    def __init__(
        self,
        seeds: Sequence[SupportsIndex],
        device: torch.device | str = "cpu",
        dtype: torch.dtype | None = None,
    ) -> None:
        self.seeds = [as_seed(seed) for seed in seeds]
        self.device = torch.device(device)
        self.dtype = dtype or torch.get_default_dtype()
        self._keys: Tensor | None = None

    def __len__(self) -> int:
        return len(self.seeds)

    def take(self, index: Sequence[int] | Tensor | slice) -> Noise:
        """The source of the samples `index`."""
        if isinstance(index, slice):
            return Noise(self.seeds[index], self.device, self.dtype)
        places = as_index(index).tolist()
        return Noise([self.seeds[i] for i in places], self.device, self.dtype)

    def repeat(self, n: int) -> Noise:
        """`n` independent sources for each sample, side by side: (seed, 0), (seed, 1), ..."""
        return Noise(
            [mix(seed, 1, j) for seed in self.seeds for j in range(n)], self.device, self.dtype
        )

    def stream(self, k: int) -> Noise:
        """An independent source for the same samples."""
        return Noise([mix(seed, 2, k) for seed in self.seeds], self.device, self.dtype)

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> Noise:
        """The same draws, delivered on another device or in another precision."""
        return Noise(self.seeds, device, dtype or self.dtype)

    def normal(self, step: int, shape: Sequence[int]) -> Tensor:
        """Standard normal draws of event shape `shape`: (samples, *shape)."""
        return self._draw(philox.normal, step, shape)

    def uniform(self, step: int, shape: Sequence[int] = ()) -> Tensor:
        """Uniform draws in [0, 1) of event shape `shape`: (samples, *shape)."""
        return self._draw(philox.uniform, step, shape)

    def generators(self, step: int) -> list[torch.Generator]:
        """One CPU generator per sample, for draws that are neither normal nor uniform (strokes,
        kernels).
        """
        return [torch.Generator().manual_seed(mix(seed, 0, step)) for seed in self.seeds]

    def _draw(
        self,
        draw: Callable[[Tensor, int, int, torch.dtype], Tensor],
        step: int,
        shape: Sequence[int],
    ) -> Tensor:
        shape = tuple(shape)
        wide = self.dtype if self.dtype == torch.float64 else torch.float32
        return (
            draw(self._key(), step, math.prod(shape), wide)
            .to(self.dtype)
            .reshape(len(self), *shape)
        )

    def _key(self) -> Tensor:
        """The seeds as two 32-bit words each, on the device; made once."""
        if self._keys is None:
            pairs = [(seed & _WORD, (seed >> 32) & _WORD) for seed in self.seeds]
            self._keys = torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2).to(self.device)
        return self._keys
