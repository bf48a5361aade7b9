"""Motif problems: segments of known structure, and how long the scaffolds between them may be.

    l_1 + ... + l_k = L,    low_i <= l_i <= high_i,    length_low <= L <= length_high

with low_i = high_i = the number of its residues for a segment of the motif. The scaffolds between
two segments of one group make together as many residues at least as bridge them. A layout is a
vector (l_1, ..., l_k). It is drawn uniformly over all vectors that are feasible, which are counted
by dynamic programming (`deft.data.proteins.ways`).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import accumulate, pairwise
from string import ascii_uppercase
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray

from deft.data.proteins.parts import LONGEST, Part, Scaffold, Segment, fewest_between
from deft.data.proteins.structure import Residue, trace
from deft.data.proteins.ways import Run, Ways
from deft.errors import InvalidInput
from deft.noise import Noise

_MOST_PARTS = 256


@final
@dataclass(frozen=True)
class Layout:
    """Where the parts of a problem stand in one design: how long each of them is."""

    problem: MotifProblem
    lengths: tuple[int, ...]

    @property
    def length(self) -> int:
        """The number of residues of the design."""
        return sum(self.lengths)

    @property
    def starts(self) -> tuple[int, ...]:
        """The residue, counted from 0, with which each part begins."""
        return tuple(accumulate(self.lengths[:-1], initial=0))

    @property
    def index(self) -> NDArray[np.int64]:
        """The residue of the design, from 0, that is each residue of the motif."""
        pieces = zip(self.starts, self.problem.parts, strict=True)
        places = [range(start, start + len(part.residues)) for start, part in pieces]
        return np.array([place for piece in places for place in piece], np.int64)

    @property
    def contig(self) -> str:
        """The layout as a contig of fixed lengths."""
        parts = zip(self.lengths, self.problem.parts, strict=True)
        return "/".join(
            str(part if part.residues else Scaffold(length, length)) for length, part in parts
        )

    @property
    def placements(self) -> str:
        """The layout as MotifBench writes it, segments as chains: 38/A/43/B/46."""
        words: list[str] = []
        gap, labels = 0, iter(self.problem.labels)
        for length, part in zip(self.lengths, self.problem.parts, strict=True):
            if part.residues:
                words += ([str(gap)] if gap or words else []) + [next(labels)]
            gap = 0 if part.residues else gap + length
        return "/".join([*words, str(gap)] if gap else words)


@final
@dataclass(frozen=True)
class MotifProblem:
    """A motif, and the scaffolds around it that are allowed.

    `parts` in the order of the chain; `length` is the range of the whole, (low, high), and None
    where only the parts say it; `labels` what the segments are called, by default A, B, C, ...
    The scaffolds between two segments of one group get as many residues at least as can bridge
    them, together where there are several in a row.
    Raises `InvalidInput` where no layout is feasible.
    """

    name: str
    parts: tuple[Part, ...]
    length: tuple[int, int] | None = None
    labels: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        if not self.segments:
            raise InvalidInput(
                f"the motif of {self.name}",
                given="no segment",
                expected="one or more residues of known structure",
                advice="a design without a motif is a sample of the prior: deft sample",
            )
        if len(self.parts) > _MOST_PARTS:
            raise InvalidInput(
                f"the parts of {self.name}",
                given=f"{len(self.parts)} of them",
                expected=f"at most {_MOST_PARTS}",
            )
        if not self.labels:
            object.__setattr__(self, "labels", tuple(map(_label, range(len(self.segments)))))
        alone = {run.start: run.least for run in self._bridges if run.end - run.start == 1}
        parts = [
            Scaffold(max(part.low, alone[i]), part.high) if i in alone else part
            for i, part in enumerate(self.parts)
        ]
        object.__setattr__(self, "parts", tuple(parts))
        self.possible  # noqa: B018  raises where nothing is

    @cached_property
    def _bridges(self) -> tuple[Run, ...]:
        """The scaffolds that have to bridge two segments of one group. Raises `InvalidInput` where
        they are always too short.
        """
        found: list[Run] = []
        places = [i for i, part in enumerate(self.parts) if part.residues]
        for (i, before), (k, after) in pairwise(zip(places, self.segments, strict=True)):
            room = sum(part.high for part in self.parts[i + 1 : k])
            least = fewest_between(before, after)
            if least > room:
                raise InvalidInput(
                    f"the scaffold between {before} and {after} in {self.name}",
                    given=f"at most {room} residues",
                    expected=f"{least} or more, which can bridge them",
                )
            if least:
                found.append(Run(i + 1, k, least))
        return tuple(found)

    @property
    def segments(self) -> tuple[Segment, ...]:
        """The parts of known structure."""
        return tuple(part for part in self.parts if part.residues)  # type: ignore[misc]

    @property
    def residues(self) -> tuple[Residue, ...]:
        """The residues of the motif, in the order of the chain."""
        return tuple(residue for part in self.parts for residue in part.residues)

    @property
    def trace(self) -> NDArray[np.float64]:
        """The C-alpha atoms of the motif, in angstrom: (m, 3)."""
        return trace(self.residues)

    @property
    def group(self) -> NDArray[np.int64]:
        """The group of each residue of the motif, counted from 0 without gaps."""
        of = [part.group for part in self.parts for _ in part.residues]
        return np.unique(of, return_inverse=True)[1].astype(np.int64)

    @property
    def contig(self) -> str:
        """The problem as a contig."""
        return "/".join(map(str, self.parts))

    @property
    def possible(self) -> tuple[int, int]:
        """The shortest and the longest design: what both the parts and the range of the whole
        allow. Raises `InvalidInput` where nothing is.
        """
        low, high = (sum(ends) for ends in zip(*((p.low, p.high) for p in self.parts), strict=True))
        for run in self._bridges:
            low += max(run.least - sum(part.low for part in self.parts[run.start : run.end]), 0)
        wanted = (low, high) if self.length is None else self.length
        found = max(low, wanted[0]), min(high, wanted[1], LONGEST)
        if found[0] > found[1]:
            raise InvalidInput(
                f"the length of {self.name}",
                given=f"{_range(wanted)} residues",
                expected=f"a length that its parts can have, {_range((low, min(high, LONGEST)))}: "
                f"{self.contig}",
            )
        return found

    def within(self, least: int, most: int, prior: str = "the prior") -> MotifProblem:
        """The problem with designs of `least` to `most` residues, those that a prior knows. Raises
        `InvalidInput` where it has none.
        """
        low, high = self.possible
        expected = advice = ""
        if low > most:
            expected = f"at most {most}, the longest chain of {prior}"
            advice = "shorten the scaffolds, or use a prior of longer chains"
        elif high < least:
            expected = f"at least {least}, the shortest chain of {prior}"
            advice = "lengthen the scaffolds, or use a prior of shorter chains"
        if expected:
            raise InvalidInput(
                f"the length of {self.name}",
                given=f"{_range((low, high))} residues",
                expected=expected,
                advice=advice,
            )
        return replace(self, length=(max(low, least), min(high, most)))

    @property
    def layouts(self) -> int:
        """How many layouts are feasible."""
        return self._ways.total(*self.possible)

    def sample_layout(self, seed: int) -> Layout:
        """A layout, uniform over all that are feasible; it depends on the seed alone."""
        draws = Noise([seed], dtype=torch.float64).uniform(0, (len(self.parts) + 1,))[0].tolist()
        return Layout(self, self._ways.drawn(*self.possible, draws))

    @cached_property
    def _ways(self) -> Ways:
        """Of the lengths of the parts; what bridges alone is long enough by its range."""
        ranges = tuple((part.low, part.high) for part in self.parts)
        runs = tuple(run for run in self._bridges if run.end - run.start > 1)
        return Ways(ranges, runs, self.possible[1])


def _label(i: int) -> str:
    """A, ..., Z, AA, AB, ...: the name of segment i."""
    return (_label(i // 26 - 1) if i >= 26 else "") + ascii_uppercase[i % 26]


def _range(ends: tuple[int, int]) -> str:
    return f"{ends[0]} to {ends[1]}" if ends[0] != ends[1] else str(ends[0])
