"""`deft train` and `deft scaffold` with Genie at its full size: seconds and memory.

    python benchmarks/genie_commands.py runs/genie [--out FILE]

Writes a checkpoint as Lightning does, with the network of the published `scope_l_128` (4,087,574
parameters) and random weights, beside its `configuration`; chains of 128 residues (random walks
with bonds of 3.8 angstrom), and a motif, an ideal helix of 12 residues. Then each command runs in a
process of its own on one thread; seconds of the processor and the most memory that the process had
are what the system says of it when it has ended.

What random weights draw is no protein. Their estimate of the noise is hardly one: designs come out
as wide as sigma / alpha at the noise end, 637 angstrom in Genie's table of 1,000 entries, for which
PDB files have no room. So the table has 100 entries (65 angstrom), which changes no cost.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from deft.networks.genie import GenieNetwork, Sizes
from deft.storage import provenance

FULL = Sizes(entries=100)
FRACTION, TRAINING, STEPS, DESIGNS = 0.09, 6, 6, 2
_KEYS = {
    "maximumNumResidues": "most",
    "numTimesteps": "entries",
    "singleFeatureDimension": "single",
    "pairFeatureDimension": "pair",
    "positionalEmbeddingDimension": "place",
    "timestepEmbeddingDimension": "time",
    "relativePositionK": "reach",
    "numPairTransformLayers": "pair_layers",
    "triangularMultiplicativeHiddenDimension": "multiplied",
    "pairTransitionN": "pair_factor",
    "numStructureLayers": "structure_layers",
    "ipaHiddenDimension": "head",
    "ipaNumHeads": "heads",
    "ipaNumQkPoints": "query_points",
    "ipaNumVPoints": "value_points",
}


def files(folder: Path, sizes: Sizes = FULL) -> None:
    """The checkpoint with its configuration, the chains, and the structure of the motif."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    weights = {f"model.{k}": v for k, v in GenieNetwork(sizes).state_dict().items()}
    content = {"epoch": 0, "global_step": 0, "pytorch-lightning_version": "1.4.9"}
    torch.save({**content, "state_dict": weights}, folder / "genie.ckpt")
    lines = [f"{key} {getattr(sizes, name)}" for key, name in _KEYS.items()]
    (folder / "genie.configuration").write_text("\n".join(lines) + "\n")
    steps = np.random.default_rng(0).normal(size=(8, sizes.most, 3))
    walks = np.cumsum(3.8 * steps / np.linalg.norm(steps, axis=-1, keepdims=True), 1)
    lengths = [sizes.most] * len(walks)
    np.savez(
        folder / "chains.npz", coords=np.concatenate(walks).astype(np.float32), lengths=lengths
    )
    (folder / "helix.pdb").write_text(helix(12))


def helix(residues: int) -> str:
    """The C-alpha atoms of an ideal helix as a PDB file."""
    lines = []
    for k in range(residues):
        x, y, z = 2.3 * np.cos(1.745 * k), 2.3 * np.sin(1.745 * k), 1.5 * k
        lines.append(
            f"ATOM  {k + 1:5d}  CA  ALA A{k + 1:4d}    {x:8.3f}{y:8.3f}{z:8.3f}  1.00  0.00"
            "           C  "
        )
    return "\n".join([*lines, "END", ""])


def commands(folder: Path, length: int = 100) -> dict[str, list[str]]:
    """The command lines, by what is measured; designs have `length` residues."""
    checkpoint = folder / "genie.ckpt"
    ends = f"10-{length - 22}"
    made = f"--pdb {folder}/helix.pdb --contig {ends}/A1-12/{ends} --length {length} --name helix"
    drawn = f"{made} -n {DESIGNS} --steps {STEPS} --page false --judge false --batch_size {DESIGNS}"
    run = folder / "run"
    lines = {
        "train": f"train --prior {checkpoint} --problem MotifScaffolding "
        f"--images {folder}/chains.npz --fraction {FRACTION} --steps {TRAINING} --batch_size 2 "
        f"--validation_share 0 --out {run}",
        "scaffold": f"scaffold --h {run} {drawn} --out {folder}/designs "
        f"--export_motifbench {folder}/bench",
        "scaffold_unconditional": f"scaffold --prior {checkpoint} --method Unconditional {drawn} "
        f"--out {folder}/free",
        "scaffold_dps": f"scaffold --prior {checkpoint} --method DPS --zeta 0.1 "
        f"{drawn} --out {folder}/dps",
    }
    return {name: shlex.split(line) for name, line in lines.items()}


def measured(command: Sequence[str]) -> dict[str, float]:
    """Seconds on the clock and of the processor, and the most memory, of a command that ends
    well.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "deft.cli", *command], env=environment)
    _, status, used = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status):
        raise SystemExit(f"deft {shlex.join(command)}: failed")
    return {
        "seconds": round(time.perf_counter() - began, 1),
        "processor_seconds": round(used.ru_utime + used.ru_stime, 1),
        "peak_mib": round(used.ru_maxrss / 1024, 1),
    }


def main() -> None:
    """Make the files, run each command, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="a new folder for the files and the runs")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    files(given.folder)
    found: dict[str, object] = {
        "train": {"steps": TRAINING, "batch": 2, "residues": FULL.most, "fraction": FRACTION},
        "scaffold": {"steps": STEPS, "designs": DESIGNS, "batch": DESIGNS, "padded_to": FULL.most},
        "threads": 1,
    }
    ran = {name: measured(command) for name, command in commands(given.folder).items()}
    found["commands"] = ran
    found["provenance"] = {
        "commit": provenance.commit(),
        "command": provenance.command(),
        "versions": provenance.versions(),
        "machine": provenance.machine("cpu"),
    }
    print(json.dumps(ran, indent=1))
    if given.out:
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
