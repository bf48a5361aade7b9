"""Designs, and their files: PDB and mmCIF, one chain A with residues 1 to L.

Residues of the motif keep their names, modified ones that of the amino acid that they come from
(MSE: MET); all others, and those that are unknown (UNK), are written as glycine, which programs
that design sequences take for "any". The atoms are the C-alpha trace, and N, C and O where they are
given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deft.data.proteins.problem import Layout
from deft.data.proteins.structure import BACKBONE
from deft.errors import InvalidInput
from deft.storage.atomic import atomic

_AMINO_ACIDS = "ALA ARG ASN ASP CYS GLN GLU GLY HIS ILE LEU LYS MET PHE PRO SER THR TRP TYR VAL"
_PARENTS = {
    "MSE": "MET",
    "SEP": "SER",
    "TPO": "THR",
    "PTR": "TYR",
    "SEC": "CYS",
    "CYX": "CYS",
    "CSO": "CYS",
    "PYL": "LYS",
    "MLY": "LYS",
    "HID": "HIS",
    "HIE": "HIS",
    "HIP": "HIS",
    "HYP": "PRO",
}
STANDARD = tuple(_AMINO_ACIDS.split())
_MOST = 9999  # residue numbers of PDB files have four digits
_COLUMNS = (
    "group_PDB",
    "id",
    "type_symbol",
    "label_atom_id",
    "label_alt_id",
    "label_comp_id",
    "label_asym_id",
    "label_entity_id",
    "label_seq_id",
    "pdbx_PDB_ins_code",
    "Cartn_x",
    "Cartn_y",
    "Cartn_z",
    "occupancy",
    "B_iso_or_equiv",
    "auth_seq_id",
    "auth_asym_id",
    "pdbx_PDB_model_num",
)


def standard_name(name: str) -> str:
    """The three letters under which a residue is written: one of the twenty amino acids."""
    name = name.strip().upper()
    return name if name in STANDARD else _PARENTS.get(name, "GLY")


@final
@dataclass(frozen=True)
class Design:
    """A scaffold for a layout: `xyz` (L, 3) its C-alpha atoms in angstrom, `atoms` other atoms of
    the backbone, by their names N, C and O, of the same shape.
    """

    layout: Layout
    xyz: NDArray[np.float64]
    atoms: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        length = self.layout.length
        object.__setattr__(self, "xyz", _coordinates("xyz", self.xyz, length))
        checked = {name: _coordinates(name, x, length) for name, x in self.atoms.items()}
        if unknown := [name for name in checked if name not in BACKBONE or name == "CA"]:
            raise InvalidInput("atoms", given=", ".join(unknown), expected="N, C and O")
        object.__setattr__(self, "atoms", checked)

    @property
    def names(self) -> list[str]:
        """The name of each residue: that of the motif's, glycine elsewhere."""
        names = ["GLY"] * self.layout.length
        for place, residue in zip(self.layout.index, self.layout.problem.residues, strict=True):
            names[place] = standard_name(residue.name)
        return names

    def rows(self) -> list[tuple[str, str, int, NDArray[np.float64]]]:
        """Atom, residue name, residue number and place of each atom, in the order of a file."""
        every = {**self.atoms, "CA": self.xyz}
        return [
            (atom, name, i + 1, every[atom][i])
            for i, name in enumerate(self.names)
            for atom in BACKBONE
            if atom in every
        ]


def to_pdb(design: Design, *, bare: bool = False) -> str:
    """A design in PDB format; `bare`: its ATOM lines and nothing else, as some programs need."""
    lines = [atom_line(k, *row) for k, row in enumerate(design.rows(), start=1)]
    if not bare:
        name, length = design.names[-1], design.layout.length
        lines += [f"TER   {len(lines) + 1:5d}      {name} A{length:4d}", "END"]
    return "\n".join([*lines, ""])


def motif_to_pdb(layout: Layout) -> str:
    """The motif alone in PDB format, with the numbers of its residues in the design, and the letter
    of each residue's group in columns 73 to 76.
    """
    lines: list[str] = []
    groups = layout.problem.group
    for place, residue, group in zip(layout.index, layout.problem.residues, groups, strict=True):
        name, letter = standard_name(residue.name), chr(ord("A") + int(group) % 26)
        for atom in BACKBONE:
            if atom in residue.atoms:
                where = np.array(residue.atoms[atom])
                lines.append(atom_line(len(lines) + 1, atom, name, int(place) + 1, where, letter))
    return "\n".join([*lines, ""])


def atom_line(
    serial: int, atom: str, name: str, number: int, place: NDArray[np.float64], segment: str = ""
) -> str:
    """One ATOM line of chain A."""
    x, y, z = place
    return (
        f"ATOM  {serial % 100_000:5d}  {atom:<3} {name} A{number:4d}    "
        f"{x:8.3f}{y:8.3f}{z:8.3f}  1.00  0.00      {segment:<4}{atom[0]:>2}  "
    )


def to_mmcif(design: Design) -> str:
    """A design in mmCIF."""
    name = "".join(c if c.isalnum() else "_" for c in design.layout.problem.name) or "design"
    rows = [
        f"ATOM {k} {atom[0]} {atom} . {residue} A 1 {i} ? {x:.3f} {y:.3f} {z:.3f} 1.00 0.00 {i} A 1"
        for k, (atom, residue, i, (x, y, z)) in enumerate(design.rows(), start=1)
    ]
    columns = [f"_atom_site.{column}" for column in _COLUMNS]
    return "\n".join([f"data_{name}", "#", "loop_", *columns, *rows, "#", ""])


def write_design(path: str | Path, design: Design) -> Path:
    """Write a design, in the format that the name of the file ends with: .pdb or .cif."""
    path = Path(path)
    formats = {".pdb": to_pdb, ".cif": to_mmcif, ".mmcif": to_mmcif}
    if path.suffix.lower() not in formats:
        raise InvalidInput(
            str(path), given=f"a name that ends with {path.suffix!r}", expected=".pdb or .cif"
        )
    return write_text(path, formats[path.suffix.lower()](design))


def write_text(path: Path, text: str) -> Path:
    """Write a file, whole or not at all."""
    with atomic(path) as file:
        file.write(text.encode())
    return path


def designs_of(layouts: Sequence[Layout], xyz: ArrayLike) -> list[Design]:
    """Designs of chains that are padded after their last residue: (designs, places, 3)."""
    x = np.asarray(xyz, np.float64)
    longest = max((layout.length for layout in layouts), default=0)
    if x.ndim != 3 or len(x) != len(layouts) or x.shape[1] < longest or x.shape[2] != 3:
        raise InvalidInput(
            "the coordinates of designs",
            given=f"the shape {x.shape}",
            expected=f"({len(layouts)}, {longest} or more, 3)",
        )
    return [Design(layout, x[i, : layout.length]) for i, layout in enumerate(layouts)]


def _coordinates(what: str, value: ArrayLike, length: int) -> NDArray[np.float64]:
    x = np.asarray(value, np.float64)
    if x.shape != (length, 3) or length > _MOST:
        raise InvalidInput(
            f"{what} of a design",
            given=f"the shape {x.shape}",
            expected=f"({length}, 3), one row for each residue, at most {_MOST}",
        )
    if not np.isfinite(x).all() or (x < -999).any() or (x > 9999).any():
        raise InvalidInput(
            f"{what} of a design",
            given="values that are not finite, or have more digits than a file has room for",
            expected="angstrom, from -999 to 9,999",
            advice="centre the design",
        )
    return x
