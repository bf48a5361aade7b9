"""In how many ways the parts of a chain make up its length, and one way of them at random.

    ways_i(s) = the number of (l_i, ..., l_k) with l_i + ... + l_k = s and low_j <= l_j <= high_j
              = sum over l from low_i to high_i of ways_{i+1}(s - l),    ways_{k+1}(0) = 1

A run of parts i, ..., e - 1, one after the other, may have to make d residues or more together
(scaffolds that bridge two segments). Those that make fewer are taken away where it begins,

    ways_i(s) - sum over n < d of run_i(n) ways_e(s - n)

with run_i(n) in how many ways parts i to e - 1 make n. The lengths are drawn one after the other,
each by the number of ways to go on from there, so that every vector is as likely as any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import final


@final
@dataclass(frozen=True)
class Run:
    """Parts `start` to `end` - 1, which make at least `least` residues together."""

    start: int
    end: int
    least: int


@final
@dataclass(frozen=True)
class Ways:
    """Vectors of lengths within `ranges`, (low, high) of each part, whose sum is at most `longest`.

    The runs do not overlap.
    """

    ranges: tuple[tuple[int, int], ...]
    runs: tuple[Run, ...]
    longest: int

    def total(self, low: int, high: int) -> int:
        """How many of them have a sum from `low` to `high`."""
        return sum(self._after[0][low : high + 1])

    def drawn(self, low: int, high: int, draws: Sequence[float]) -> tuple[int, ...]:
        """One with a sum from `low` to `high`; `draws` in [0, 1), one for the sum and one for each
        part.
        """
        left = low + _chosen(self._after[0][low : high + 1], draws[0])
        lengths: list[int] = []
        needed = 0  # what the run still has to make
        for i, (least, most) in enumerate(self.ranges):
            needed = next((run.least for run in self.runs if run.start == i), needed)
            options = [
                self._on(i + 1, left - n, needed - n) for n in range(least, min(most, left) + 1)
            ]
            lengths.append(least + _chosen(options, draws[i + 1]))
            left, needed = left - lengths[-1], max(needed - lengths[-1], 0)
        return tuple(lengths)

    def _on(self, i: int, s: int, needed: int) -> int:
        """In how many ways parts i to k make s, the run in whose middle i is `needed` or more."""
        if needed <= 0:
            return self._after[i][s]
        run = next((run for run in self.runs if run.start < i < run.end), None)
        if run is None:
            return 0
        return self._after[i][s] - _short(self._inside[i][:needed], self._after[run.end], s)

    @cached_property
    def _after(self) -> dict[int, list[int]]:
        """`ways_i(s)` for s from 0 to `longest`, by i; within a run, whatever it makes."""
        ways = {len(self.ranges): [1] + [0] * self.longest}
        for i in reversed(range(len(self.ranges))):
            ways[i] = _summed(ways[i + 1], *self.ranges[i])
            for run in self.runs:
                if run.start == i:
                    inside, after = self._inside[i][: run.least], ways[run.end]
                    ways[i] = [free - _short(inside, after, s) for s, free in enumerate(ways[i])]
        return ways

    @cached_property
    def _inside(self) -> dict[int, list[int]]:
        """`run_i(n)` for n below what the run has to make, for each part of a run."""
        ways = dict[int, list[int]]()
        for run in self.runs:
            last = [1] + [0] * max(run.least - 1, 0)
            for i in reversed(range(run.start, run.end)):
                last = ways[i] = _summed(last, *self.ranges[i])
        return ways


def _summed(after: Sequence[int], low: int, high: int) -> list[int]:
    """sum over l from `low` to `high` of after(s - l), for each s."""
    sums = [0, *accumulate(after)]
    return [sums[max(s - low + 1, 0)] - sums[max(s - high, 0)] for s in range(len(after))]


def _short(inside: Sequence[int], after: Sequence[int], s: int) -> int:
    """sum over n of inside(n) after(s - n)."""
    return sum(ways * after[s - n] for n, ways in enumerate(inside[: s + 1]))


def _chosen(weights: Sequence[int], u: float) -> int:
    """The place where u in [0, 1) falls among whole weights of any size."""
    mark = (int(u * 2**53) * sum(weights)) >> 53
    return next(i for i, total in enumerate(accumulate(weights)) if mark < total)
