"""Motifs of MotifBench: PDB files in which each segment is a chain of its own.

    REMARK 1 Reference PDB ID: 4XOJ
    REMARK 2 Motif Segment Placement in Reference PDB: 38;A;43;B;90;C;46
    REMARK 3 Length for Designed Scaffolds: 150

(Zheng et al. 2025, arXiv:2502.12479.) The length of a design is given, the placement free; the
order of the reference is kept here, with at least as many residues between two segments as can
bridge them (`fewest_between`). Residues whose type is to be designed are called UNK.
"""

from __future__ import annotations

import re
from itertools import pairwise

from deft.data.proteins.parts import Part, Scaffold, Segment, fewest_between, length_range
from deft.data.proteins.problem import MotifProblem
from deft.data.proteins.structure import Structure, structure_of
from deft.errors import InvalidInput

_IDENTITY = re.compile(r"REMARK\s+1\s+(?:Reference|Original) PDB ID:\s*(\S+)", re.I)
_PLACEMENT = re.compile(
    r"REMARK\s+2\s+(?:Motif Segment Placement in Reference PDB|Contig):(.*)", re.I
)
_LENGTH = re.compile(r"REMARK\s+3\s+(?:Length for Designed Scaffolds|Total Length):(.*)", re.I)


def is_motifbench(text: str) -> bool:
    """Whether a text has the header of a motif of MotifBench."""
    return _PLACEMENT.search(text) is not None


def from_motifbench(text: str, source: str, name: str | None = None) -> MotifProblem:
    """The problem of a motif file of MotifBench. Raises `InvalidInput` for a header that cannot be
    read, chains that it does not name, and a length in which the motif has no room.
    """
    placement, length = _PLACEMENT.search(text), _LENGTH.search(text)
    if placement is None or length is None:
        missing = "REMARK 2, the placement" if placement is None else "REMARK 3, the length"
        raise InvalidInput(
            f"the header of {source}",
            given=f"no {missing}",
            expected="the three REMARK lines of MotifBench",
        )
    total = length_range(length[1].strip(), f"the length of designs in {source}")
    letters = _letters(placement[1].strip(), source)
    structure = structure_of(text, source)
    segments = [_segment(structure, letter) for letter in letters]
    _all_named(structure, letters, source)
    gaps = [0, *(fewest_between(*pair) for pair in pairwise(segments)), 0]
    if not name:
        name = found[1] if (found := _IDENTITY.search(text)) else source
    needed = sum(gaps) + sum(segment.low for segment in segments)
    if needed > total[1]:
        raise InvalidInput(
            f"the length of designs in {source}",
            given=total[1],
            expected=f"at least {needed} residues, {sum(gaps)} of them to bridge its segments",
        )
    room = total[1] - needed
    parts: list[Part] = [Scaffold(gaps[0], gaps[0] + room)]
    for segment, gap in zip(segments, gaps[1:], strict=True):
        parts += [segment, Scaffold(gap, gap + room)]
    return MotifProblem(name, tuple(parts), total, tuple(letters))


def _letters(text: str, source: str) -> list[str]:
    """The chains of a placement, 38;A;43;B;46, in order."""
    tokens = [token.strip() for token in re.split(r"[;/]", text)]
    letters = [token for token in tokens if re.fullmatch(r"[A-Za-z]+", token, re.ASCII)]
    others = [token for token in tokens if token not in letters]
    whole = all(re.fullmatch(r"-?\d{1,9}", token, re.ASCII) for token in others)
    if not letters or not whole or len(set(letters)) < len(letters):
        raise InvalidInput(
            f"REMARK 2 of {source}",
            given=text or "nothing",
            expected="numbers of residues and chains in turn, each chain once: 38;A;43;B;46",
        )
    return letters


def _segment(structure: Structure, letter: str) -> Segment:
    return Segment(structure.chain(letter))


def _all_named(structure: Structure, letters: list[str], source: str) -> None:
    if left := [chain for chain in structure.chains if chain not in letters]:
        raise InvalidInput(
            f"REMARK 2 of {source}",
            given=f"no place for chain {', '.join(left)}",
            expected=f"each chain of the file: {', '.join(structure.chains)}",
        )
