"""The sizes of Genie's network; those of the published `scope_l_128` by default."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from deft import checks


@final
@dataclass(frozen=True)
class Sizes:
    """Widths, depths and counts.

    `most` is the number of residues that chains are padded to, `entries` that of the schedule's
    table; `place` and `time` are the widths of their waves, `reach` the largest distance along the
    chain that is told apart; `multiplied` is the width of the triangle updates (0: none),
    `attending` the heads of the triangular attention (0: none) and `attended` their width. The
    structure layers, `structure_layers` of them, run `blocks` times with the same weights.
    """

    most: int = 128
    entries: int = 1000
    single: int = 128
    pair: int = 128
    place: int = 128
    time: int = 128
    reach: int = 32
    pair_layers: int = 5
    multiplied: int = 128
    attending: int = 0
    attended: int = 32
    pair_factor: int = 4
    structure_layers: int = 5
    blocks: int = 1
    heads: int = 12
    head: int = 16
    query_points: int = 4
    value_points: int = 8
    transitions: int = 1

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            least = {"multiplied": 0, "attending": 0, "most": 3, "entries": 2, "pair_layers": 0}
            checks.whole(name, value, least.get(name, 1), 1 << 16, "a size of Genie's network")
