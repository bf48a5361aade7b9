"""What is wrong with the file of a design: it should hold one scaffold, chain A, residues 1 to L in
order, each with its C-alpha atom, and the name of an amino acid.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import final

from deft.data.proteins.design import STANDARD
from deft.data.proteins.pdb_lines import Lines
from deft.data.proteins.structure import read_text
from deft.errors import InvalidInput

_SHOWN = 5  # residues that a fault names


@final
@dataclass(frozen=True)
class Fault:
    """What is wrong, in which file or folder, and what to do."""

    where: str
    what: str
    advice: str = ""

    def __str__(self) -> str:
        return f"{self.where}: {self.what}{f'; {self.advice}' if self.advice else ''}"


def read_lines(path: Path) -> tuple[Lines | None, list[Fault]]:
    """The atoms of a file, or why it cannot be read."""
    try:
        return Lines.read(read_text(path)), []
    except InvalidInput as error:
        return None, [Fault(path.name, f"{error.given}", "write it again")]


def check_file(path: Path) -> list[Fault]:
    """The faults that the file of one design has by itself."""
    lines, faults = read_lines(path)
    return faults if lines is None else [*faults, *_of_lines(path.name, lines)]


def _of_lines(name: str, lines: Lines) -> Iterator[Fault]:
    if not lines.atoms:
        yield Fault(name, "no ATOM line", "write it again")
        return
    chains = list(dict.fromkeys(line.chain for line in lines.atoms))
    if lines.models > 1:
        yield Fault(
            name, f"{lines.models} scaffolds in one file", "write one file for each scaffold"
        )
    elif len(chains) > 1:
        shown = ", ".join(chain or "(blank)" for chain in chains)
        yield Fault(name, f"several chains: {shown}", "write one chain, A, in one file")
    elif chains != ["A"]:
        yield Fault(name, f"chain {chains[0] or '(blank)'}", "call it A")
    if "HETATM" in lines.others:
        yield Fault(name, "HETATM lines", "write residues of the chain as ATOM")
    if any(line.alternate for line in lines.atoms):
        yield Fault(name, "alternate locations", "keep one of each atom")
    if any(line.where is None for line in lines.atoms):
        yield Fault(name, "coordinates that are no numbers", "write them in columns 31 to 54")
    if lines.models == 1 and len(chains) == 1:
        yield from _numbering(name, lines)
    unknown = {
        f"{line.residue or '(blank)'} {line.number}"
        for line in lines.atoms
        if line.atom == "CA" and line.residue not in STANDARD
    }
    if unknown:
        yield Fault(
            name,
            f"{len(unknown)} residues that are none of the twenty amino acids: {_some(unknown)}",
            "write unknown residues as GLY",
        )


def _numbering(name: str, lines: Lines) -> Iterator[Fault]:
    numbers = lines.numbers
    if any(line.insertion for line in lines.atoms):
        yield Fault(name, "insertion codes", "number the residues from 1 to L")
    elif numbers != list(range(1, len(numbers) + 1)):
        first = next(k for k, n in enumerate(numbers, start=1) if n != k)
        yield Fault(
            name,
            f"residue {first} is numbered {numbers[first - 1]}",
            "number the residues from 1 to L, in order",
        )
    without = {str(n) for n in numbers if n is not None} - {str(n) for n in lines.trace}
    if without:
        yield Fault(
            name,
            f"{len(without)} residues without a C-alpha atom: {_some(without)}",
            "write the C-alpha atom of each residue",
        )


def _some(words: set[str]) -> str:
    """Some of them, in the order of their numbers."""
    ordered = sorted(words, key=lambda word: (len(word.split()[-1]), word.split()[-1]))
    return ", ".join(ordered[:_SHOWN]) + (", ..." if len(ordered) > _SHOWN else "")
