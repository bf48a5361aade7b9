"""How the coefficients of `deft.metrics.protein.backbone_atoms` were fitted.

    python recipes/fit_backbone_atoms.py FOLDER [--out backbone_atoms.json]

FOLDER holds full-atom PDB files, in ATOM records. Four residues of a chain in a row with bonds of
3.6 to 4.0 angstrom between their C-alphas give one plane; C, O and N of it are regressed on the
features, in the frame of the C-alphas. Planes that stand in two files or chains count once. The
error is that of fits that leave one file out after the other; the coefficients use all.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from torch import Tensor

from deft.metrics.protein.backbone_atoms import planes

_ATOMS = ("N", "CA", "C", "O")


def chains(path: Path) -> list[list[dict[str, Tensor]]]:
    """The residues with all four atoms of each chain of the first model, in order."""
    residues: dict[str, dict[tuple[str, str], dict[str, Tensor]]] = {}
    for line in path.read_text(errors="replace").splitlines():
        if line.startswith("ENDMDL"):
            break
        if not line.startswith("ATOM  ") or line[16] not in " A":
            continue
        name, chain, place = line[12:16].strip(), line[21], (line[22:27], line[17:20])
        if name in _ATOMS:
            values = [float(line[i : i + 8]) for i in (30, 38, 46)]
            atoms = residues.setdefault(chain, {}).setdefault(place, {})
            atoms.setdefault(name, torch.tensor(values, dtype=torch.double))
    return [list(chain.values()) for chain in residues.values()]


def read(path: Path, seen: set[tuple[float, ...]]) -> tuple[Tensor, Tensor]:
    """The features (planes, 54) of a file and the places of C, O and N in its frames (planes, 9);
    planes whose shape was `seen` are left out.
    """
    fours, planar = [], []
    for residues in chains(path):
        whole = [atoms if len(atoms) == len(_ATOMS) else None for atoms in residues]
        for a, b, c, d in zip(whole, whole[1:], whole[2:], whole[3:]):
            if a and b and c and d:
                fours.append(torch.stack([a["CA"], b["CA"], c["CA"], d["CA"]]))
                planar.append(torch.stack([b["C"], b["O"], c["N"]]))
    if not fours:
        return torch.zeros(0, 54).double(), torch.zeros(0, 9).double()
    ca, atoms = torch.stack(fours), torch.stack(planar)
    bonds = (ca[:, 1:] - ca[:, :-1]).norm(dim=-1)
    trans = ((bonds >= 3.6) & (bonds <= 4.0)).all(1)
    origin, frame, features = planes(ca[trans])
    local = (atoms[trans] - origin) @ frame[:, 0].mT
    new = []
    for i, row in enumerate((100 * features[:, 0, :12]).round().tolist()):
        if tuple(row) not in seen:
            seen.add(tuple(row))
            new.append(i)
    return features[new, 0], local[new].flatten(1)


def ridge(features: Tensor, targets: Tensor, penalty: float) -> Tensor:
    """argmin_W |F W - T|^2 + penalty |W|^2, the constant not penalised: (54, 9)."""
    weight = torch.full((features.shape[1],), penalty, dtype=torch.double)
    weight[0] = 0.0
    return torch.linalg.solve(features.T @ features + torch.diag(weight), features.T @ targets)


def root_mean_squares(off: Tensor) -> dict[str, float]:
    """The root of the mean squared distance of each atom."""
    far = off.unflatten(1, (3, 3)).square().sum(-1).mean(0).sqrt().tolist()
    return dict(zip(("C", "O", "N"), (round(value, 3) for value in far)))


def main() -> None:
    """Fit, say the error, and write the coefficients."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, default=Path("backbone_atoms.json"))
    parser.add_argument("--penalty", type=float, default=0.1)
    args = parser.parse_args()
    files = sorted(args.folder.glob("*.pdb"))
    if not files:
        parser.error(f"{args.folder} holds no .pdb files")
    seen: set[tuple[float, ...]] = set()
    parts = [read(path, seen) for path in files]
    off = []
    for held in range(len(parts)):
        others = [part for i, part in enumerate(parts) if i != held]
        weights = ridge(
            torch.cat([f for f, _ in others]), torch.cat([t for _, t in others]), args.penalty
        )
        features, targets = parts[held]
        off.append(features @ weights - targets)
    features, targets = (torch.cat(part) for part in zip(*parts))
    weights = ridge(features, targets, args.penalty)
    card = {
        "planes": len(features),
        "files": [path.name for path in files],
        "penalty": args.penalty,
        "error_left_out": root_mean_squares(torch.cat(off)),
        "error_fitted": root_mean_squares(features @ weights - targets),
        "coefficients": [[round(value, 4) for value in row] for row in weights.tolist()],
    }
    print({key: value for key, value in card.items() if key != "coefficients"})
    args.out.write_text(json.dumps(card) + "\n")


if __name__ == "__main__":
    main()
