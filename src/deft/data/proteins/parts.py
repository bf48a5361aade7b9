"""The parts of a motif problem: scaffolds, which are designed, and segments of known structure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from string import ascii_uppercase
from typing import ClassVar, final

from deft import checks
from deft.data.proteins.structure import LONGEST_BOND, Residue, check_whole
from deft.errors import InvalidInput

LONGEST = 4096  # residues of a design, far beyond any prior
_BOND, _SLACK = 3.8, LONGEST_BOND - 3.8  # angstrom between C-alpha atoms of neighbours, and more


@final
@dataclass(frozen=True)
class Scaffold:
    """A part that is designed: `low` to `high` residues."""

    low: int
    high: int
    residues: ClassVar[tuple[Residue, ...]] = ()
    group: ClassVar[int] = 0

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.high <= LONGEST:
            raise InvalidInput(
                "the length of a scaffold",
                given=f"{self.low} to {self.high} residues",
                expected=f"0 <= low <= high <= {LONGEST:,}",
            )

    def __str__(self) -> str:
        return str(self.low) if self.low == self.high > 0 else f"{self.low}-{self.high}"


@final
@dataclass(frozen=True)
class Segment:
    """A part of known structure. Segments of one `group` keep their places relative to each other;
    groups are rigid bodies of their own.
    """

    residues: tuple[Residue, ...]
    group: int = 0

    def __post_init__(self) -> None:
        if not self.residues:
            raise InvalidInput("a segment of a motif", given="no residues", expected="one or more")
        check_whole(self.residues, f"the segment {self}")

    @property
    def low(self) -> int:
        """The number of its residues."""
        return len(self.residues)

    @property
    def high(self) -> int:
        """The number of its residues."""
        return len(self.residues)

    def __str__(self) -> str:
        first, last = self.residues[0], self.residues[-1]
        place = first.place if first is last else f"{first.place}-{last.number}{last.insertion}"
        return f"{place};{ascii_uppercase[self.group % 26]}" if self.group else place


Part = Scaffold | Segment


def fewest_between(before: Segment, after: Segment) -> int:
    """The fewest residues that can bridge two segments of one group, d <= 3.8 (n + 1) + 0.7 with d
    the distance in angstrom between the C-alpha atoms that face each other; 0 between two groups.
    """
    if before.group != after.group:
        return 0
    apart = math.dist(before.residues[-1].atoms["CA"], after.residues[0].atoms["CA"])
    return max(math.ceil((apart - _SLACK) / _BOND) - 1, 0)


def length_range(text: str | int, what: str = "length") -> tuple[int, int]:
    """(low, high) out of a length as it is written, 65 or 50-75. Raises `InvalidInput` for
    anything else.
    """
    expected = f"a number of residues up to {LONGEST:,}, or a range of them: 65, 50-75"
    ends = str(text).strip().split("-")
    if not 1 <= len(ends) <= 2 or not all(end.isascii() and end.isdigit() for end in ends):
        raise InvalidInput(what, given=str(text), expected=expected)
    low, high = (checks.whole(what, int(end[:9]), least=0) for end in (ends[0], ends[-1]))
    if not 1 <= low <= high <= LONGEST:
        raise InvalidInput(what, given=str(text), expected=expected)
    return low, high
