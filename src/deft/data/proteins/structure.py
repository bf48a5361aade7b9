"""Structures from PDB and mmCIF files: the residues of each chain, with their backbone atoms.

What a file may hold and what is made of it: several models, the first; alternate locations, the
first; insertion codes, kept; hetero residues with the backbone of an amino acid (MSE), residues
like any other; water, ligands and ions, left out; residues without a C-alpha atom, kept, so that an
error can name them. Coordinates are angstrom. gemmi reads both formats.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from deft.data.proteins.numbering import ranges, written
from deft.data.proteins.pdb_lines import check_places
from deft.errors import InvalidInput, nearest_names

BACKBONE = ("N", "CA", "C", "O")
SHORTEST_BOND = 2.0  # angstrom
LONGEST_BOND = 4.5  # angstrom between neighbouring C-alpha atoms; 3.8 in a chain, 2.9 where cis
_MOST_BYTES = 200_000_000
_RECORDS = ("ATOM  ", "HETATM", "TER")
_ADVICE = "give a text file in PDB or mmCIF format"


@final
@dataclass(frozen=True)
class Residue:
    """A residue: its chain, number, insertion code ("" for none), three-letter name, and the
    coordinates of the backbone atoms that the file has.
    """

    chain: str
    number: int
    insertion: str
    name: str
    atoms: Mapping[str, tuple[float, float, float]]

    @property
    def place(self) -> str:
        """Chain, number and insertion code, as a contig has them: A52B, and A1:52B of chain A1."""
        return f"{written(self.chain)}{self.number}{self.insertion}"

    @property
    def key(self) -> tuple[int, str]:
        """Number and insertion code."""
        return self.number, self.insertion


@final
@dataclass(frozen=True)
class Structure:
    """The residues of a file, in its order; `source` is its name, for errors."""

    source: str
    residues: tuple[Residue, ...]

    @property
    def chains(self) -> tuple[str, ...]:
        """The names of the chains, in order."""
        return tuple(dict.fromkeys(residue.chain for residue in self.residues))

    def chain(self, name: str) -> tuple[Residue, ...]:
        """The residues of a chain. Raises `InvalidInput` where the file has none of that name."""
        found = tuple(residue for residue in self.residues if residue.chain == name)
        if not found:
            colons = any(written(chain) != chain for chain in self.chains)
            near = nearest_names(name, list(self.chains)).removeprefix("; ")
            raise InvalidInput(
                f"the chain of a motif in {self.source}",
                given=name,
                expected=f"one of {', '.join(self.chains)}",
                advice="a colon ends a name with a digit: A1:163-181" if colons else near,
            )
        return found

    def span(
        self, chain: str, first: tuple[int, str], last: tuple[int, str]
    ) -> tuple[Residue, ...]:
        """The residues of a chain from one to another, both with insertion codes, whose C-alpha
        atoms are there and make one piece. Raises `InvalidInput` where they do not.
        """
        residues = self.chain(chain)
        keys = [residue.key for residue in residues]
        for key in (first, last):
            if key not in keys:
                raise InvalidInput(
                    f"a residue of a motif in {self.source}",
                    given=f"{written(chain)}{key[0]}{key[1]}",
                    expected=f"one of chain {chain}, which has {ranges(residues)}",
                    advice="numbers are those of the file (auth_seq_id in mmCIF)",
                )
        start, end = keys.index(first), keys.index(last)
        if start > end:
            raise InvalidInput(
                f"a motif in {self.source}",
                given=f"{residues[start].place} to {residues[end].place}",
                expected="the first residue before the last",
            )
        found = residues[start : end + 1]
        check_whole(found, self.source)
        return found


def check_whole(residues: Sequence[Residue], source: str) -> None:
    """Raises `InvalidInput` where a C-alpha atom is missing, or two neighbours are too far apart to
    be bonded.
    """
    missing = [residue.place for residue in residues if "CA" not in residue.atoms]
    if missing:
        raise InvalidInput(
            f"a motif in {source}",
            given=f"residues without a C-alpha atom: {', '.join(missing)}",
            expected="residues whose C-alpha atom is in the file",
            advice="leave them out of the motif, as two segments with a scaffold of their length "
            "between",
        )
    for before, after in pairwise(residues):
        apart = math.dist(before.atoms["CA"], after.atoms["CA"])
        if apart < SHORTEST_BOND:
            raise InvalidInput(
                f"a motif in {source}",
                given=f"{apart:.1f} angstrom between {before.place} and {after.place}",
                expected=f"neighbouring C-alpha atoms {SHORTEST_BOND:g} angstrom apart or more",
                advice="look at their coordinates: one may be missing",
            )
        if apart > LONGEST_BOND:
            raise InvalidInput(
                f"a motif in {source}",
                given=f"a chain break: {apart:.1f} angstrom between {before.place} and "
                f"{after.place}",
                expected=f"neighbouring C-alpha atoms at most {LONGEST_BOND:g} angstrom apart",
                advice=f"give two segments, one that ends with {before.place} and one that begins "
                f"with {after.place}, and the length of the scaffold between them",
            )


def trace(residues: Sequence[Residue]) -> NDArray[np.float64]:
    """The C-alpha atoms of residues that all have one: (residues, 3)."""
    return np.array([residue.atoms["CA"] for residue in residues], np.float64).reshape(-1, 3)


def read_structure(path: str | Path) -> Structure:
    """The structure of a PDB or mmCIF file, whatever its name ends with.

    Raises `InvalidInput` for a file that is not there, empty, binary, too large or neither format,
    and where the extra `protein` is not installed.
    """
    return structure_of(read_text(path), str(path))


def read_text(path: str | Path) -> str:
    """The text of a file. Raises `InvalidInput` for one that is none."""
    path = Path(path)
    try:
        if path.is_dir():
            raise InvalidInput(str(path), given="a folder", expected="a PDB or mmCIF file")
        if path.stat().st_size > _MOST_BYTES:
            given = f"{path.stat().st_size:,} bytes"
            raise InvalidInput(str(path), given=given, expected=f"at most {_MOST_BYTES:,} bytes")
        data = path.read_bytes()
    except (OSError, ValueError) as error:  # a name with a NUL is a ValueError
        if isinstance(error, InvalidInput):
            raise
        reason = getattr(error, "strerror", None) or str(error)
        raise InvalidInput(
            str(path), given=f"no file that can be read ({reason})", expected="a PDB or mmCIF file"
        ) from error
    if data[:2] == b"\x1f\x8b":
        raise InvalidInput(
            str(path), given="a gzip file", expected="text", advice="unpack it with gunzip first"
        )
    if b"\0" in data:
        raise InvalidInput(str(path), given="a binary file", expected="text", advice=_ADVICE)
    return data.decode("utf-8-sig", errors="replace")


def structure_of(text: str, source: str) -> Structure:
    """The structure that a text in PDB or mmCIF format describes; `source` names it in errors."""
    if not text.strip():
        raise InvalidInput(source, given="an empty file", expected="a structure", advice=_ADVICE)
    gemmi = extra("gemmi")
    cif = _is_cif(text)
    if not cif:
        check_places(text, source)
    try:
        found = _from_cif(gemmi, text) if cif else gemmi.read_pdb_string(first_model(text))
        found.remove_alternative_conformations()
        found.merge_chain_parts()
        residues = tuple(_residues(gemmi, found[0], source)) if len(found) else ()
    except (RuntimeError, ValueError, IndexError, TypeError, OverflowError) as error:
        if isinstance(error, InvalidInput):
            raise
        reason = " ".join(str(error).split())
        raise InvalidInput(
            source,
            given=f"what gemmi cannot read: {reason}",
            expected=f"a file in {'mmCIF' if cif else 'PDB'} format",
            advice=_ADVICE,
        ) from error
    if not residues:
        raise InvalidInput(
            source,
            given="no amino acids",
            expected="ATOM records in PDB format, or an _atom_site loop in mmCIF format",
            advice=_ADVICE,
        )
    return Structure(source, residues)


def first_model(text: str) -> str:
    """The atoms of the first model of a text in PDB format."""
    lines: list[str] = []
    for line in text.splitlines():
        if line.startswith("ENDMDL") and lines:
            break
        if line.startswith(_RECORDS):
            lines.append(line)
    return "\n".join([*lines, "END", ""])


def _is_cif(text: str) -> bool:
    """Whether the first line that is no comment begins a block of mmCIF."""
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            return line.lower().startswith("data_")
    return False


def _from_cif(gemmi: Any, text: str) -> Any:
    return gemmi.make_structure_from_block(gemmi.cif.read_string(text)[0])


def _residues(gemmi: Any, model: Any, source: str) -> list[Residue]:
    """The amino acids of a model."""
    found = []
    for chain in model:
        for residue in chain:
            atoms = _backbone(gemmi, residue, chain.name, source)
            known = gemmi.find_tabulated_residue(residue.name).is_amino_acid()
            if not known and not {"N", "CA", "C"} <= set(atoms):
                continue
            found.append(
                Residue(
                    chain.name.strip() or "_",
                    residue.seqid.num,
                    residue.seqid.icode.strip(),
                    residue.name,
                    atoms,
                )
            )
    return found


def _backbone(
    gemmi: Any, residue: Any, chain: str, source: str
) -> dict[str, tuple[float, float, float]]:
    """The backbone atoms of a residue. Raises `InvalidInput` where coordinates are no numbers."""
    atoms: dict[str, tuple[float, float, float]] = {}
    elements = {"N": "N", "CA": "C", "C": "C", "O": "O"}
    for atom in residue:
        if elements.get(atom.name) != atom.element.name or atom.name in atoms:
            continue
        place = (atom.pos.x, atom.pos.y, atom.pos.z)
        if not all(map(math.isfinite, place)):
            raise InvalidInput(
                f"the atom {atom.name} of residue {chain}{residue.seqid} in {source}",
                given=str(place),
                expected="finite coordinates",
            )
        atoms[atom.name] = place
    return atoms


def extra(name: str) -> Any:
    """A package of the extra `protein`, imported."""
    try:
        return import_module(name)
    except ImportError as error:
        raise InvalidInput(
            f"{name} is not installed; `pip install deft-diffusion[protein]` reads and writes "
            "PDB and mmCIF files."
        ) from error
