"""The lines of PDB files of designs, as they stand there: what gemmi would mend in silence.

Columns count from 1: atom 13-16, alternate location 17, residue 18-20, chain 22, number 23-26,
insertion code 27, x, y, z 31-54, segment 73-76.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import NDArray

from deft.errors import InvalidInput


@final
@dataclass(frozen=True)
class Line:
    """One atom; `where` is None for coordinates that cannot be read."""

    record: str
    atom: str
    alternate: str
    residue: str
    chain: str
    number: int | None
    insertion: str
    where: tuple[float, float, float] | None
    segment: str

    @classmethod
    def read(cls, line: str) -> Line:
        """The parts of an ATOM or HETATM line."""
        columns = [line[30:38], line[38:46], line[46:54]]
        return cls(
            line[:6].strip(),
            line[12:16].strip(),
            line[16:17].strip(),
            line[17:20].strip(),
            line[21:22].strip(),
            _whole(line[22:26]),
            line[26:27].strip(),
            _place(columns),
            line[72:76].strip(),
        )


@final
@dataclass(frozen=True)
class Lines:
    """The atoms of a file; `others` are the records beside ATOM lines, `models` how many times
    atoms begin again after the end of some.
    """

    atoms: tuple[Line, ...]
    others: tuple[str, ...]
    models: int

    @classmethod
    def read(cls, text: str) -> Lines:
        """The lines of a text in PDB format."""
        atoms: list[Line] = []
        others: list[str] = []
        models, ended = 0, True
        for line in text.splitlines():
            record = line[:6].strip()
            if record in ("ATOM", "HETATM"):
                models, ended = models + ended, False
                atoms.append(Line.read(line))
            ended = ended or (record in ("END", "ENDMDL", "MODEL") and bool(atoms))
            if record != "ATOM" and record:
                others.append(record)
        return cls(tuple(atoms), tuple(others), models)

    @property
    def trace(self) -> dict[int, tuple[str, NDArray[np.float64]]]:
        """Name and C-alpha atom of each residue, by its number; of one that comes twice, the
        first.
        """
        found: dict[int, tuple[str, NDArray[np.float64]]] = {}
        for line in self.atoms:
            if line.atom == "CA" and line.number is not None and line.where is not None:
                found.setdefault(line.number, (line.residue, np.array(line.where)))
        return found

    @property
    def numbers(self) -> list[int | None]:
        """The numbers of the residues, in order, each as often as it begins."""
        found: list[int | None] = []
        last: object = None
        for line in self.atoms:
            key = (line.chain, line.number, line.insertion)
            if key != last:
                found.append(line.number)
            last = key
        return found


def check_places(text: str, source: str) -> None:
    """Raises `InvalidInput` for an atom whose coordinates are no numbers: gemmi reads them as 0."""
    for number, line in enumerate(text.splitlines(), start=1):
        if line.startswith(("ATOM  ", "HETATM")) and Line.read(line).where is None:
            raise InvalidInput(
                f"line {number} of {source}",
                given=line[:54].strip(),
                expected="three finite coordinates in the columns 31 to 54",
                advice="leave the atom out, or give it its place",
            )


def _whole(text: str) -> int | None:
    text = text.strip()
    return int(text) if text.removeprefix("-").isdigit() and text.isascii() else None


def _place(columns: list[str]) -> tuple[float, float, float] | None:
    try:
        x, y, z = (float(column) for column in columns)
    except ValueError:
        return None
    return (x, y, z) if all(map(math.isfinite, (x, y, z))) else None
