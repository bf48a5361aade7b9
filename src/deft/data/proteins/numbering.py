"""Chains and numbers of residues as contigs and errors have them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deft.data.proteins.structure import Residue


def written(chain: str) -> str:
    """A chain before a number: A, and A1: where the name has a digit."""
    return f"{chain}:" if any(map(str.isdigit, chain)) else chain


def ranges(residues: Sequence[Residue]) -> str:
    """The numbers of residues in words: 16 to 35 and 52 to 71."""
    pieces: list[list[Residue]] = []
    for residue in residues:
        if pieces and residue.number in (pieces[-1][-1].number, pieces[-1][-1].number + 1):
            pieces[-1].append(residue)
        else:
            pieces.append([residue])
    words = [
        f"{piece[0].number} to {piece[-1].number}" if len(piece) > 1 else str(piece[0].number)
        for piece in pieces
    ]
    shown = words[:6] + ([f"{len(words) - 6} more pieces"] if len(words) > 6 else [])
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)
