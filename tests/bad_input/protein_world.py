"""Files that wrong commands of `deft scaffold` name: motifs, structures, priors of chains."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from deft.htransforms.backbone import BackboneHTransform
from deft.priors import zoo
from deft.priors.equivariant_backbone import EquivariantBackbone
from deft.problems.motif import MotifScaffolding
from deft.schedules import VE
from deft.training import checkpoint
from tests.data.proteins.made import atom, chain, genie2, helix, pdb

ROWS = ((5, 10), ("A", 3, 12, "A"), (5, 10))


def tiny_backbone(seed: int = 0, most: int = 40) -> EquivariantBackbone:
    """A prior of chains of 16 residues and more, untrained."""
    torch.manual_seed(seed)
    sizes = {"width": 8, "blocks": 1, "heads": 2, "pair": 4, "window": 4}
    return EquivariantBackbone(most, VE(0.02, 160.0), min_length=16, name="tiny-backbone", **sizes)


def problem(name: str = "MADE", length: tuple[int, int] = (20, 30)) -> str:
    """A motif of ten residues with N, CA and C, 5 to 10 residues around it."""
    return genie2(ROWS, chain(10, first=3), name, length)


def table(path: Path, chains: Sequence[object]) -> None:
    """Chains as `deft train` takes them: all coordinates, and how long each of them is."""
    found = [np.asarray(chain, np.float32) for chain in chains]
    np.savez(path, coords=np.concatenate(found), lengths=[len(chain) for chain in found])


def build(root: Path) -> Path:
    """The folder, filled."""
    root.mkdir()
    (root / "motif.pdb").write_text(problem())
    (root / "long.pdb").write_text(
        genie2(((30, 50), ROWS[1]), chain(10, first=3), "LONG", (40, 60))
    )
    (root / "short.pdb").write_text(
        genie2(((0, 3), ROWS[1]), chain(10, first=3), "SHORT", (10, 13))
    )
    (root / "never.pdb").write_text(problem("NEVER", (100, 120)))
    (root / "chain.pdb").write_text(pdb(chain(30), chain(8, "B", shift=30.0)))
    (root / "empty.pdb").write_text("")
    (root / "binary.pdb").write_bytes(bytes(range(256)) * 8)
    missing = [line for line in chain(12) if not (line[12:16] == " CA " and line[22:26] == "   5")]
    far = [atom(90, "CA", "GLY", "A", 13, (90.0, 0.0, 0.0))]
    inserted = [atom(95, "CA", "GLY", "A", 13, helix(14)[13], insertion="B")]
    (root / "missing.pdb").write_text(pdb(missing))
    (root / "broken.pdb").write_text(pdb([*chain(12), *far]))
    (root / "inserted.pdb").write_text(pdb([*chain(13), *inserted]))
    for name, said in (("bare", "target,contig\nA,5\n"), ("wrong", _TABLE.format("A40-50"))):
        (root / f"{name}.csv").write_text(said)
    (root / "two.csv").write_text(_TABLE.format("A3-12") + "AGAIN,5/A3-12/6,21,chain.pdb\n")
    (root / "twice.csv").write_text(_TABLE.format("A3-12") + "MADE,5/A3-12/6,21,chain.pdb\n")
    (root / "away.csv").write_text(_TABLE.format("A3-12").replace("MADE", "../../away"))
    table(root / "chains.npz", [helix(n) for n in (40, 44, 48)])
    table(root / "nm.npz", [np.array(helix(44)) / 10])
    np.savez(root / "one.npz", coords=np.zeros((3, 3)))
    prior = tiny_backbone()
    zoo.save(root / "tiny.safetensors", prior)
    zoo.save(root / "other.safetensors", tiny_backbone(1))
    h = BackboneHTransform(prior.scale, width=8, blocks=1, heads=2, pair=4)
    card = {
        "problem": MotifScaffolding(sigma_y=0.1).card(),
        "prior_from": str(root / "tiny.safetensors"),
    }
    checkpoint.save(root / "h.safetensors", h, prior, card)
    designs = root / "designs"
    designs.mkdir()
    (designs / "MADE_0.pdb").write_text(pdb(chain(12, first=2)))
    return root


_TABLE = "target,contig,length,motif_path\nMADE,5/{}/5,20,chain.pdb\n"
