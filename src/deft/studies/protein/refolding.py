"""Self-consistency by the user's own programs: does a sequence fold into the design?

    design -> sequences (inverse folder) -> structures (folder)
    scRMSD      RMSD of the structure and the design, on C-alphas
    motif RMSD  the largest over groups of the RMSD of the structure and the motif

A design counts where one of its sequences has scRMSD < 2 and motif RMSD < 1 angstrom, pLDDT > 70,
and a mean aligned error < 5 where the folder says one. What was computed is kept per design, in
NAME/result.json, with a fingerprint of the design, the commands and the motif: the same call again
reads it, another one computes anew.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor

from deft.checks import whole
from deft.errors import CommandFailed, InvalidInput
from deft.metrics.protein.superposition import HELD, largest_group, lddt, motif_rmsd, rmsd
from deft.storage.atomic import atomic
from deft.storage.bounded_json import parsed
from deft.storage.fingerprint import fingerprint
from deft.studies.protein.external import Folder, InverseFolder, mean_aligned_error

RESULT = "result.json"


@final
@dataclass(frozen=True)
class Refolded:
    """One sequence of a design and what it folds into; angstrom, and pLDDT from 0 to 100. None
    where there is no motif, or one of single residues, which has no RMSD, or where the folder says
    no aligned error.
    """

    sequence: str
    sc_rmsd: float
    lddt: float
    motif_rmsd: float | None
    plddt: float
    aligned_error: float | None

    def success(
        self,
        sc_rmsd: float = 2.0,
        motif_rmsd: float = HELD,
        plddt: float = 70.0,
        aligned_error: float = 5.0,
    ) -> bool:
        """Whether it keeps all thresholds; what was not measured is not asked."""
        return (
            self.sc_rmsd < sc_rmsd
            and (self.motif_rmsd is None or self.motif_rmsd < motif_rmsd)
            and self.plddt > plddt
            and (self.aligned_error is None or self.aligned_error < aligned_error)
        )


@final
@dataclass(frozen=True)
class DesignMotif:
    """The motif of one design: residues from 0, their groups, and their coordinates (m, 3)."""

    index: tuple[int, ...]
    group: tuple[int, ...]
    coordinates: tuple[tuple[float, float, float], ...]


def refold(
    pdb: str | Path,
    out: str | Path,
    inverse_folder: InverseFolder,
    folder: Folder,
    motif: DesignMotif | None = None,
    count: int = 8,
) -> list[Refolded]:
    """What `count` sequences of the design in `pdb` fold into, the nearest to the design first.

    The files of the programs and the result are kept in `out`/NAME. The residues of the motif keep
    the names that they have in `pdb`. Raises `CommandFailed` for programs that fail or leave
    nothing, `InvalidInput` for a file without C-alphas.
    """
    pdb = Path(pdb).resolve()
    whole("count", count, 1, 1000, "sequences of each design")
    design, _ = read_trace(pdb)
    place = Path(out).resolve() / pdb.stem
    held = None if motif is None else asdict(motif)
    lines = [inverse_folder.command.template, folder.command.template]
    key = fingerprint(pdb.read_bytes(), json.dumps([held, lines, count]))
    kept = _kept(place / RESULT, key)
    if kept is not None:
        return kept
    for name in ("sequences", "structures"):
        shutil.rmtree(place / name, ignore_errors=True)
        (place / name).mkdir(parents=True)
    fixed = () if motif is None else motif.index
    sequences = inverse_folder.sequences(pdb, len(design), fixed, count, place / "sequences")
    named = {f"{pdb.stem}_{i:03d}": sequence for i, sequence in enumerate(sequences)}
    folded = folder.fold(named, place / "structures")
    found = [
        _compared(named[name], design, structure, errors, motif)
        for name, (structure, errors) in folded.items()
    ]
    found.sort(key=lambda one: one.sc_rmsd)
    with atomic(place / RESULT) as file:
        content = {"key": key, "sequences": [asdict(one) for one in found]}
        file.write(json.dumps(content, indent=1).encode())
    return found


def read_trace(path: str | Path) -> tuple[Tensor, Tensor]:
    """The C-alphas (length, 3) of the first model and chain of a PDB file, those of hetero residues
    such as MSE too, and their B-factors (length,), 0 where none is written. Raises
    `InvalidInput` where there are none, or numbers that cannot be read.
    """
    path = Path(path)
    if not path.is_file():
        raise InvalidInput(str(path), given="no file", expected="a structure in PDB format")
    places, factors, chain, seen = [], [], None, set()
    for line in path.read_text(errors="replace").splitlines():
        if line.startswith("ENDMDL"):
            break
        if not _is_trace(line):
            continue
        chain = line[21] if chain is None else chain
        if line[21] != chain or line[22:27] in seen:
            continue
        seen.add(line[22:27])
        try:
            places.append([float(line[i : i + 8]) for i in (30, 38, 46)])
            factors.append(float(line[60:66].strip() or 0))
        except ValueError as error:
            raise InvalidInput(
                str(path),
                given=line.rstrip(),
                expected="coordinates in columns 31 to 54, and a B-factor or nothing in 61 to 66",
            ) from error
    if not places or not all(math.isfinite(value) for row in places for value in row):
        raise InvalidInput(
            str(path), given="no C-alpha atoms", expected="a structure in PDB format"
        )
    return torch.tensor(places, dtype=torch.double), torch.tensor(factors, dtype=torch.double)


def _is_trace(line: str) -> bool:
    """Whether a line is a C-alpha atom, and no calcium, whose name begins one column before."""
    if line.startswith("HETATM"):
        return line[12:16] == " CA " and line[17:20].strip() != "CA"
    return line.startswith("ATOM") and line[12:16].strip() == "CA"


def _compared(
    sequence: str, design: Tensor, structure: Path, errors: Path | None, motif: DesignMotif | None
) -> Refolded:
    x, confidence = read_trace(structure)
    if len(x) != len(design):
        raise CommandFailed(
            "folder",
            given=f"{len(x)} residues in {structure}",
            expected=f"{len(design)}, as the design has",
        )
    off = None
    if motif is not None:
        parts = motif_rmsd(
            x[None],
            torch.tensor(motif.index),
            torch.tensor(motif.group),
            torch.tensor(motif.coordinates, dtype=torch.double),
        )
        worst = float(largest_group(parts))
        off = None if math.isnan(worst) else worst
    # some folders write pLDDT from 0 to 1
    scale = 100.0 if float(confidence.max()) <= 1 else 1.0
    return Refolded(
        sequence,
        float(rmsd(x[None], design[None])),
        float(lddt(x[None], design[None])),
        off,
        float(confidence.mean()) * scale,
        None if errors is None else mean_aligned_error(errors),
    )


def _kept(path: Path, key: str) -> list[Refolded] | None:
    """What an earlier call with the same key found."""
    if not path.is_file():
        return None
    content = parsed(path.read_bytes(), str(path))
    if not isinstance(content, dict) or content.get("key") != key:
        return None
    rows: Sequence[Mapping[str, Any]] = content["sequences"]
    return [Refolded(**row) for row in rows]
