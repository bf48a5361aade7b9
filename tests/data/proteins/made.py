"""Invented structures: chains of helices, as lines of PDB and mmCIF files."""

import math

NAMES = ("ALA", "GLY", "SER", "LEU", "LYS", "ASP", "TRP")


def helix(n: int, shift: float = 0.0) -> list[tuple[float, float, float]]:
    """The C-alpha atoms of an ideal right-handed helix: 2.3 angstrom wide, 1.5 up and 100 degrees
    around for each residue; neighbours are 3.8 angstrom apart.
    """
    angles = [math.radians(100 * i) for i in range(n)]
    return [(2.3 * math.cos(a) + shift, 2.3 * math.sin(a), 1.5 * i) for i, a in enumerate(angles)]


def backbone(place):
    """N, CA, C and O near a C-alpha atom."""
    x, y, z = place
    return {"N": (x - 1.2, y + 0.6, z - 0.6), "CA": place, "C": (x + 1.1, y + 0.9, z + 0.4)}


def atom(
    serial, name, residue, chain, number, place, *, insertion=" ", alternate=" ", record="ATOM  "
):
    x, y, z = place
    return (
        f"{record}{serial:5d}  {name:<3}{alternate}{residue} {chain}{number:4d}{insertion}   "
        f"{x:8.3f}{y:8.3f}{z:8.3f}  1.00  0.00           {name[0]}"
    )


def chain(n, letter="A", first=1, shift=0.0, atoms=("N", "CA", "C")):
    """The lines of a chain of n residues."""
    lines = []
    for i, place in enumerate(helix(n, shift)):
        lines += [
            atom(len(lines) + 1, name, NAMES[i % len(NAMES)], letter, first + i, at)
            for name, at in backbone(place).items()
            if name in atoms
        ]
    return lines


def pdb(*chains, header=()):
    return "\n".join([*header, *(line for lines in chains for line in [*lines, "TER"]), "END", ""])


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


def mmcif(n, letter="A", first=1, model=1):
    """A chain in mmCIF, whose own labels differ from the author's."""
    rows = []
    for i, place in enumerate(helix(n)):
        for name, (x, y, z) in backbone(place).items():
            rows.append(
                f"ATOM {len(rows) + 1} {name[0]} {name} . {NAMES[i % len(NAMES)]} Z 1 {i + 1} ? "
                f"{x:.3f} {y:.3f} {z:.3f} 1.00 0.00 {first + i} {letter} {model}"
            )
    columns = [f"_atom_site.{column}" for column in _COLUMNS]
    return "\n".join(["data_MADE", "#", "loop_", *columns, *rows, "#", ""])


def genie2(rows, lines, name="MADE", length=(20, 60)):
    """A problem file of Genie 2; rows are (least, most) or (chain, first, last, group)."""
    header = [f"REMARK 999 NAME   {name}", "REMARK 999 PDB    MADE"]
    for row in rows:
        if len(row) == 2:
            header.append(f"REMARK 999 INPUT   {row[0]:4d}{row[1]:4d}")
        else:
            chain, first, last, group = row
            header.append(f"REMARK 999 INPUT  {chain}{first:4d}{last:4d} {group}".rstrip())
    header += [
        f"REMARK 999 MINIMUM TOTAL LENGTH      {length[0]}",
        f"REMARK 999 MAXIMUM TOTAL LENGTH      {length[1]}",
    ]
    return "\n".join([*header, "", *lines, ""])


def motifbench(placement, length, *chains):
    """A motif file of MotifBench."""
    return pdb(
        *chains,
        header=(
            "REMARK 1 Reference PDB ID: MADE",
            f"REMARK 2 Motif Segment Placement in Reference PDB: {placement}",
            f"REMARK 3 Length for Designed Scaffolds: {length}",
        ),
    )
