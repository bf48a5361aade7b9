"""Clean chains to train on: C-alpha traces from structures or from a table of coordinates.

a folder     PDB and mmCIF files; each chain, cut where it is broken, its pieces
chains.npz   coords (n, 3), all chains one after the other, in angstrom; lengths (chains,)
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deft import checks
from deft.data.proteins.structure import LONGEST_BOND, Residue, read_structure, trace
from deft.errors import InvalidInput

ENDINGS = (".pdb", ".ent", ".cif", ".mmcif")


def read_chains(path: str | Path, shortest: int = 40) -> list[Tensor]:
    """The chains of a folder of structures, of one, or of a table of coordinates, (residues, 3)
    each, in order; pieces of fewer than `shortest` residues are left out.

    Raises `InvalidInput` where nothing is left, for files that cannot be read, and for tables of
    another kind.
    """
    path, shortest = Path(path), checks.whole("shortest", shortest, meaning="residues of a chain")
    if path.suffix.lower() == ".npz":
        found = _from_table(path)
    else:
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        files = [file for file in files if file.suffix.lower() in ENDINGS or file is path]
        found = [trace(piece) for file in files for piece in _pieces(file)]
    kept = [torch.from_numpy(chain).float() for chain in found if len(chain) >= shortest]
    if not kept:
        longest = max(map(len, found), default=0)
        raise InvalidInput(
            str(path),
            given=f"no chain of {shortest} residues or more; the longest has {longest}"
            if found
            else "no chain",
            expected=f"{', '.join(ENDINGS)} files, or an .npz file with coords and lengths",
        )
    return kept


def _pieces(file: Path) -> Iterator[list[Residue]]:
    """The pieces of each chain of a structure, whose neighbours are bonded."""
    structure = read_structure(file)
    for name in structure.chains:
        piece: list[Residue] = []
        for residue in structure.chain(name):
            if "CA" not in residue.atoms or (piece and not _bonded(piece, residue)):
                yield piece
                piece = []
            if "CA" in residue.atoms:
                piece.append(residue)
        yield piece


def _bonded(piece: Sequence[Residue], residue: Residue) -> bool:
    return math.dist(piece[-1].atoms["CA"], residue.atoms["CA"]) <= LONGEST_BOND


def _from_table(path: Path) -> list[NDArray[np.float64]]:
    expected = "coords (n, 3), finite, and lengths (chains,) whose sum is n"
    try:
        with np.load(path, allow_pickle=False) as table:
            held = {name: table[name] for name in ("coords", "lengths") if name in table.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, KeyError) as error:
        given = f"what cannot be read ({error})"
        raise InvalidInput(str(path), given=given, expected=expected) from error
    if len(held) < 2:
        raise InvalidInput(
            str(path), given=f"no {'lengths' if 'coords' in held else 'coords'}", expected=expected
        )
    coords, lengths = held["coords"], held["lengths"]
    whole = lengths.ndim == 1 and lengths.dtype.kind in "iu" and bool((lengths > 0).all())
    if (
        coords.ndim != 2
        or coords.shape[1] != 3
        or coords.dtype.kind != "f"
        or not whole
        or int(lengths.sum()) != len(coords)
        or not bool(np.isfinite(coords).all())
    ):
        given = f"coords {coords.dtype} {coords.shape} and lengths {lengths.dtype} {lengths.shape}"
        raise InvalidInput(str(path), given=given, expected=expected)
    return np.split(coords.astype(np.float64), np.cumsum(lengths)[:-1])
