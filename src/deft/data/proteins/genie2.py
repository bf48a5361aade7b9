"""Problem files of Genie 2: PDB files whose header says the problem.

    REMARK 999 NAME   4JHW+5WN9
    REMARK 999 INPUT     10  40             a scaffold: columns 20-23 and 24-27, least and most
    REMARK 999 INPUT  A 254 278 A           a segment: column 19 its chain, 20-23 and 24-27 its
                                            first and last residue, column 29 its group
    REMARK 999 MINIMUM TOTAL LENGTH      85
    REMARK 999 MAXIMUM TOTAL LENGTH      175

(Lin et al. 2024, arXiv:2405.15489; columns count from 1.) The atoms of the motif follow, and
may come from several structures, so that a residue number may come twice: then in the order of the
header.
Where columns are shifted, what stands between spaces is read instead.
"""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

from deft.data.proteins.parts import LONGEST, Part, Scaffold, Segment
from deft.data.proteins.problem import MotifProblem
from deft.data.proteins.structure import Residue, first_model, structure_of
from deft.errors import InvalidInput

_TAG = "REMARK 999"
_LENGTHS = {"MINIMUM TOTAL LENGTH": 0, "MAXIMUM TOTAL LENGTH": 1}


def is_genie2(text: str) -> bool:
    """Whether a text has the header of a problem file of Genie 2."""
    return any(line.startswith(f"{_TAG} INPUT") for line in text.splitlines())


def from_genie2(text: str, source: str) -> MotifProblem:
    """The problem of a file of Genie 2; `source` names it in errors. Raises `InvalidInput` for a
    header that cannot be read, and where the atoms are not those that it names.
    """
    name, ends = Path(source).stem, [0, LONGEST]
    rows: list[tuple[str, int, int, str]] = []
    for line in text.splitlines():
        if not line.startswith(_TAG):
            continue
        said = line.removeprefix(_TAG).strip()
        if said.startswith("NAME"):
            name = said.removeprefix("NAME").strip() or name
        elif said.startswith("INPUT"):
            rows.append(_row(line, source))
        for words, end in _LENGTHS.items():
            if said.startswith(words):
                ends[end] = _whole(said.removeprefix(words).strip(), line, source)
    if ends[0] > ends[1]:
        raise InvalidInput(
            f"the header of {source}",
            given=f"a minimum total length of {ends[0]} and a maximum of {ends[1]}",
            expected="the minimum before the maximum",
        )
    pieces = _pieces(text)
    parts: list[Part] = []
    letters = sorted({group for chain, _, _, group in rows if chain})
    for chain, first, last, group in rows:
        if not chain:
            parts.append(Scaffold(first, last))
            continue
        found = _taken(pieces, chain, first, last, source)
        parts.append(Segment(found, letters.index(group)))
    if pieces:
        left = structure_of("\n".join(pieces[0]), source).residues
        raise InvalidInput(
            f"the atoms of {source}",
            given=f"residues beyond those of the header, from {left[0].place} on"
            if left
            else "atoms beyond those of the header",
            expected="the residues that its INPUT lines name",
        )
    return MotifProblem(name, tuple(parts), (ends[0], ends[1]))


def _row(line: str, source: str) -> tuple[str, int, int, str]:
    """Chain, two numbers and the group of an INPUT line; the chain is empty for a scaffold."""
    chain, numbers, group = line[18:19].strip(), (line[19:23], line[23:27]), line[28:29].strip()
    if not all(_is_number(number) for number in numbers) or line[29:].strip():
        words = line.removeprefix(_TAG).split()[1:]
        chain = words.pop(0) if words and not _is_number(words[0]) else ""
        group = words.pop() if len(words) == 3 else ""
        if len(words) != 2:
            raise _unreadable(line, source)
        numbers = (words[0], words[1])
    first, last = (_whole(number.strip(), line, source, chain != "") for number in numbers)
    return chain, first, last, group


def _pieces(text: str) -> list[list[str]]:
    """The lines of each residue, in the order of the file."""
    atoms = [line for line in first_model(text).splitlines() if line[:6] in ("ATOM  ", "HETATM")]
    return [list(lines) for _, lines in groupby(atoms, key=lambda line: line[21:27])]


def _taken(
    pieces: list[list[str]], chain: str, first: int, last: int, source: str
) -> tuple[Residue, ...]:
    """The residues of a segment, which leave `pieces`: the earliest that begin as it does."""
    places = [_place(piece) for piece in pieces]
    start = places.index((chain, first)) if (chain, first) in places else len(places)
    end = start
    while end < len(places) and places[end] in {(chain, k) for k in range(first, last + 1)}:
        end += 1
        if places[end - 1] == (chain, last) and places[end : end + 1] != [(chain, last)]:
            break
    lines = [line for piece in pieces[start:end] for line in piece]
    found = structure_of("\n".join(lines), source).residues if lines else ()
    if not found or found[-1].number != last:
        held = f"{found[0].place} to {found[-1].place}" if found else f"no residue {chain}{first}"
        raise InvalidInput(
            f"the atoms of {source}",
            given=held,
            expected=f"residues {first} to {last} of chain {chain}, as the INPUT line says",
        )
    del pieces[start:end]
    return found


def _place(lines: list[str]) -> tuple[str, int | None]:
    """The chain and the number of a residue, out of its first line."""
    text = lines[0][22:26].strip()
    return lines[0][21:22], int(text) if _is_number(text) else None


def _is_number(text: str) -> bool:
    text = text.strip()
    return text.removeprefix("-").isdigit() and text.isascii()


def _whole(text: str, line: str, source: str, negative: bool = False) -> int:
    if not _is_number(text) or len(text) > 9 or (text.startswith("-") and not negative):
        raise _unreadable(line, source)
    return int(text)


def _unreadable(line: str, source: str) -> InvalidInput:
    return InvalidInput(
        f"the header of {source}",
        given=line,
        expected="REMARK 999 INPUT with a chain, first and last residue (and a group), or with "
        "the least and the most residues of a scaffold; and whole total lengths",
    )
