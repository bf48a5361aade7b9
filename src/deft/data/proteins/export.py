"""Designs in the layouts of two pipelines that fold them again.

    MotifBench        NAME/NAME_0.pdb, ...; NAME/scaffold_info.csv: sample_num, motif_placements
    in-silico design  pdbs/NAME_0.pdb, ...; motif_pdbs/NAME_0.pdb, ...

(Zheng et al. 2025, arXiv:2502.12479; Lin et al. 2024, arXiv:2405.15489.) `deft.data.proteins.check`
looks for what these pipelines do not forgive.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from deft.data.proteins.design import Design, motif_to_pdb, to_pdb, write_text
from deft.data.proteins.problem import MotifProblem
from deft.errors import InvalidInput

COLUMNS = ("sample_num", "motif_placements")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_+-]{0,99}", re.ASCII)


def export_motifbench(folder: str | Path, designs: Sequence[Design]) -> Path:
    """Write designs of one problem as MotifBench takes them; the folder of the problem."""
    name = _name_of(designs)
    where = Path(folder) / name
    rows = [",".join(COLUMNS)]
    for k, design in enumerate(designs):
        write_text(where / f"{name}_{k}.pdb", to_pdb(design))
        rows.append(f"{k},{design.layout.placements}")
    write_text(where / "scaffold_info.csv", "\n".join([*rows, ""]))
    _only(where, name, len(designs))
    return where


def export_insilico(folder: str | Path, designs: Sequence[Design]) -> Path:
    """Write designs of one problem as the in-silico design pipeline takes them, in a folder
    motif=NAME, since it takes a folder of such folders too. Its files hold nothing but ATOM lines.

    Raises `InvalidInput` where the motif lacks backbone atoms, which it compares.
    """
    name = _name_of(designs)
    check_whole_backbone(designs[0].layout.problem)
    where = Path(folder) / f"motif={name}"
    for k, design in enumerate(designs):
        write_text(where / "pdbs" / f"{name}_{k}.pdb", to_pdb(design, bare=True))
        write_text(where / "motif_pdbs" / f"{name}_{k}.pdb", motif_to_pdb(design.layout))
    for part in ("pdbs", "motif_pdbs"):
        _only(where / part, name, len(designs))
    return where


def _only(folder: Path, name: str, count: int) -> None:
    """Remove the designs of an earlier export that had more of them."""
    for file in folder.glob(f"{name}_*.pdb"):
        number = file.stem.removeprefix(f"{name}_")
        if number.isdecimal() and int(number) >= count:
            file.unlink()


def check_whole_backbone(problem: MotifProblem) -> None:
    """Raises `InvalidInput` where a motif lacks backbone atoms, which the in-silico design pipeline
    compares.
    """
    bare = [
        residue.place
        for residue in problem.residues
        if not {"N", "CA", "C", "O"} <= set(residue.atoms)
    ]
    if bare:
        raise InvalidInput(
            f"the motif of {problem.name}",
            given=f"residues without N, C or O: {', '.join(bare[:8])}",
            expected="the whole backbone of each residue, which this pipeline compares",
            advice="take the motif out of a structure with all atoms, or export for MotifBench",
        )


def check_name(name: str) -> str:
    """The name of a problem, as a part of names of files. Raises `InvalidInput` for another."""
    if not _NAME.fullmatch(name):
        raise InvalidInput(
            "the name of a problem",
            given=name,
            expected="letters, digits, _, + and -, which make a name of files",
            advice="name the problem otherwise",
        )
    return name


def _name_of(designs: Sequence[Design]) -> str:
    """The name of the problem of all of these designs, as a part of file names."""
    names = {design.layout.problem.name for design in designs}
    if len(names) != 1:
        given = f"designs of {', '.join(sorted(names))}" if names else "no designs"
        raise InvalidInput("designs", given=given, expected="designs of one problem")
    return check_name(names.pop())
