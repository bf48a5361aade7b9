"""Contigs: motif problems as RFdiffusion writes them, with any PDB or mmCIF file.

    10-40/A163-181/10-40        10 to 40 residues, residues 163 to 181 of chain A, 10 to 40 residues
    5-20,A16-35,10,A52B,5-20    commas too; one number, one residue; an insertion code
    10/A5-12;A/8/B7-20;B/10     segments of two groups, each a rigid body of its own;
                                A is that of segments without a letter
    10/A1:5-12/8/_7-20/10       chain A1, whose name has a digit, and a chain without a name

A slash or a comma stands between parts; brackets and quotes around all of it may stay. One chain is
designed: chain breaks (`/0 `, and what follows a space) are refused.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from deft.data.proteins.parts import LONGEST, Part, Scaffold, Segment, length_range
from deft.data.proteins.problem import MotifProblem
from deft.data.proteins.structure import Structure, read_structure
from deft.errors import InvalidInput

_LENGTH = re.compile(r"(\d{1,9})(?:-(\d{1,9}))?", re.ASCII)
_SPAN = re.compile(
    r"([A-Za-z_]+|[A-Za-z0-9_]+:)(-?\d{1,9})([A-Za-z]?)"
    r"(?:-([A-Za-z_]*|[A-Za-z0-9_]+:)(-?\d{1,9})([A-Za-z]?))?(?:;([A-Za-z]))?",
    re.ASCII,
)
_FIRST = "A"  # the group of a segment that names none
_EXAMPLE = "parts like 10-40, A163-181 or A38, with a slash or a comma between"


def from_contig(
    contig: str,
    structure: Structure | str | Path,
    length: str | tuple[int, int] | None = None,
    name: str | None = None,
) -> MotifProblem:
    """The problem that a contig describes, with the motif out of a structure.

    `structure` is one that was read, or its file; `length` is the range of the whole design, "65",
    "50-75" or (50, 75); None: what the parts allow. `name` is by default that of the file.
    Raises `InvalidInput` for what is no contig, for residues that the structure has not, and where
    no length is possible.
    """
    if isinstance(structure, str | Path):
        structure = read_structure(structure)
    text = contig.strip().strip("\"'").strip()
    if text.startswith("[") and text.endswith("]"):
        text = text[1:-1].strip().strip("\"'").strip()
    if re.search(r"(^|[/,])0($|[/,\s])", text) or re.search(r"[^\s,/][ \t]+[^\s,/]", text):
        _refuse_break(contig)
    tokens = [token.strip() for token in re.split(r"[/,]", text)]
    if tokens == [""]:
        raise InvalidInput("contig", given="an empty text", expected=_EXAMPLE)
    letters = sorted(
        {
            (token.partition(";")[2] or _FIRST).upper()
            for token in tokens
            if not _LENGTH.fullmatch(token)
        }
    )
    parts = tuple(_part(token, contig, structure, letters) for token in tokens)
    _check_once(parts, contig)
    said = "-".join(map(str, length)) if isinstance(length, tuple | list) else length
    ends = None if said is None else length_range(said)
    return MotifProblem(name or Path(structure.source).stem, parts, ends)


def _part(token: str, contig: str, structure: Structure, letters: list[str]) -> Part:
    """One part of a contig; `letters` are those of its groups, in order."""
    if found := _LENGTH.fullmatch(token):
        low, high = int(found[1]), int(found[2] or found[1])
        if not low <= high <= LONGEST:
            raise InvalidInput(
                "contig",
                given=f"{token} in {contig}",
                expected=f"a length, or a range low-high, up to {LONGEST:,}",
            )
        return Scaffold(low, high)
    if not (found := _SPAN.fullmatch(token)):
        given = f"{token!r} in {contig}" if token else f"an empty part in {contig}"
        raise InvalidInput("contig", given=given, expected=_EXAMPLE)
    chain, first, insertion, again, last, last_insertion, letter = found.groups()
    if again and again != chain:
        raise InvalidInput(
            "contig", given=f"{token} in {contig}", expected="a segment of one chain: A163-181"
        )
    start = (int(first), insertion.upper())
    end = start if last is None else (int(last), last_insertion.upper())
    group = letters.index((letter or _FIRST).upper())
    return Segment(structure.span(chain.removesuffix(":"), start, end), group)


def _check_once(parts: Sequence[Part], contig: str) -> None:
    """Raises `InvalidInput` where a group has a residue twice."""
    seen: set[tuple[int, str]] = set()
    for part in parts:
        for residue in part.residues:
            if (part.group, residue.place) in seen:
                raise InvalidInput(
                    "contig",
                    given=f"{residue.place} twice in {contig}",
                    expected="each residue of a group once, since a design holds it at one place",
                    advice=f"shorten a segment, or make {part} a rigid body of its own: ;B",
                )
            seen.add((part.group, residue.place))


def _refuse_break(contig: str) -> NoReturn:
    raise InvalidInput(
        "contig",
        given=f"{contig}, with a chain break (`0`, or a space)",
        expected="one chain: " + _EXAMPLE,
        advice="priors here design one chain; write 0-0 for a part of no residues",
    )
