"""The recipe of the coefficients: backbones that were made from a table give the table back."""

import json
import subprocess
import sys
from pathlib import Path

import torch

from deft.metrics.protein.backbone_atoms import coefficients, rebuilt
from tests.metrics.protein.folds import chain

RECIPE = Path(__file__).parents[3] / "recipes" / "fit_backbone_atoms.py"
ATOMS = ("N", "CA", "C", "O")


def write(path, backbone):
    lines = [
        f"ATOM      1  {atom:3s} ALA A{i + 1:4d}    {x:8.3f}{y:8.3f}{z:8.3f}  1.00  0.00\n"
        for i, residue in enumerate(backbone.tolist())
        for atom, (x, y, z) in zip(ATOMS, residue)
    ]
    path.write_text("".join(lines))


def test_the_table_comes_back(tmp_path):
    generator = torch.Generator().manual_seed(0)
    for i in range(3):
        bends = 85 + 60 * torch.rand(200, generator=generator)
        torsions = 360 * torch.rand(200, generator=generator)
        x = chain(list(zip(bends.tolist(), torsions.tolist())))
        write(tmp_path / f"{i}.pdb", rebuilt(x[None])[0])
    out = tmp_path / "table.json"
    done = subprocess.run(
        [sys.executable, str(RECIPE), str(tmp_path), "--out", str(out), "--penalty", "1e-6"],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(out.read_text())
    assert found["planes"] > 550
    assert max(found["error_left_out"].values()) < 0.01  # rounding of the files
    gap = torch.tensor(found["coefficients"]) - torch.tensor(coefficients())
    assert gap.abs().max().item() < 0.2  # of 54 features that are not orthogonal
    assert gap.square().mean().sqrt().item() < 0.02


def test_a_folder_without_files(tmp_path):
    done = subprocess.run(
        [sys.executable, str(RECIPE), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 2
    assert "holds no .pdb files" in done.stderr
