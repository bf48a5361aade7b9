"""What is wrong with a folder of designs, before a pipeline finds out, or does not.

Of each file: one scaffold, chain A, residues 1 to L in order, each with its C-alpha atom, and the
name of an amino acid (unknown ones are to be written GLY: UNK cost one entry of MotifBench seven
points). Of MotifBench (Zheng et al. 2025, arXiv:2502.12479): names of files, scaffold_info.csv, the
length, and whether the motif is where its placement says. Of the in-silico design pipeline (Lin et
al. 2024, arXiv:2405.15489): both folders, nothing but ATOM lines, and the whole backbone of the
motif.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from deft.data.proteins.check_layouts import insilico, motifbench
from deft.data.proteins.faults import Fault, check_file
from deft.data.proteins.problem import MotifProblem
from deft.errors import InvalidInput


def check_folder(
    folder: str | Path, problems: Mapping[str, MotifProblem] | None = None
) -> list[Fault]:
    """The faults of a folder of designs, in either layout, or of PDB files in none.

    `problems`, by their names, say what the motifs are: then placements, lengths and residue names
    are compared with them. An empty list says that nothing was found. Raises `InvalidInput` where
    there is no folder, or no PDB file in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InvalidInput(
            "the folder of designs",
            given=f"{folder}, a file" if folder.exists() else f"no folder {folder}",
            expected="a folder of PDB files",
        )
    inside = sorted(
        path
        for path in folder.iterdir()
        if path.is_dir() and path.name not in ("pdbs", "motif_pdbs")
    )
    known = problems or {}
    faults: list[Fault] = []
    found, compared = False, set[str]()
    for place in [folder, *inside]:
        if (place / "pdbs").is_dir() or (place / "motif_pdbs").is_dir():
            name = place.name.removeprefix("motif=")
            faults += insilico(place, known.get(name))
            compared.add(name)
        elif (place / "scaffold_info.csv").exists():
            faults += motifbench(place, known.get(place.name))
            compared.add(place.name)
        elif files := sorted(place.glob("*.pdb")):
            faults += [fault for path in files for fault in check_file(path)]
            if place is not folder:
                faults.append(
                    Fault(place.name, "no scaffold_info.csv", "MotifBench needs it in each folder")
                )
        else:
            continue
        found = True
    if not found:
        raise InvalidInput(
            "the folder of designs",
            given=f"no PDB file in {folder}",
            expected="PDB files, or folders of them: NAME/NAME_0.pdb with scaffold_info.csv, or "
            "pdbs/ and motif_pdbs/",
        )
    return faults + [
        Fault(
            name,
            f"its motif was compared with no design in {folder}",
            "a folder of its name says where motifs are: NAME/scaffold_info.csv, or motif=NAME",
        )
        for name in known
        if name not in compared
    ]
