"""Peak memory and seconds of one step by tiles, against the size of the picture.

    python benchmarks/studies/tile_memory.py --out benchmarks/results/tiles/memory.json

Each size runs in a process of its own: the prior natural-64 with its h-transform for inpainting,
two steps of one sample, micro-batches of 16 tiles. `peak_mib` is the greatest resident memory of
the process, `above_mib` what it is above that of 16 pictures of 64 x 64 at once, without tiles.
`maps_mib` is one map of three channels of the whole picture in single precision.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import torch

import deft
from deft.noise import Noise
from deft.operators.inpainting import Inpainting
from deft.posterior import Posterior
from deft.samplers.dpm_solver import DPMSolver
from deft.storage.atomic import atomic

SIZES = ((64, 64), (256, 384), (512, 768))
_BATCH = 16


def peak(height: int, width: int) -> dict[str, float]:
    """What one process takes for a picture of this size."""
    torch.set_num_threads(1)
    loaded, shape = deft.load("h-natural-64-inpainting"), (3, height, width)
    plain = (height, width) == (64, 64)
    used = loaded if plain else loaded.tiled(shape, batch=_BATCH)
    x_0 = 0.3 * Noise([0]).normal(0, shape)
    mask = torch.ones(1, 1, height, width)
    mask[..., ::3, :] = 0
    likelihood = deft.GaussianLikelihood(Inpainting(mask), 0.05)
    observed = deft.Observation(likelihood.sample(x_0, Noise([1])), likelihood)
    begun = time.perf_counter()
    DPMSolver(2)(Posterior(used.prior, used.h, observed), _BATCH if plain else 1)
    seconds = time.perf_counter() - begun
    mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    tiles = _BATCH if plain else len(used.prior.tiles)  # type: ignore[attr-defined]
    return {"tiles": tiles, "peak_mib": mib, "seconds": seconds}


def main() -> None:
    """One process for each size."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path)
    parser.add_argument("--one", nargs=2, type=int, help="one size, in this process")
    args = parser.parse_args()
    if args.one is not None:
        print(json.dumps(peak(*args.one)))
        return
    rows = []
    for height, width in SIZES:
        command = [sys.executable, __file__, "--one", str(height), str(width)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        row = {"height": height, "width": width, **json.loads(done.stdout)}
        row["above_mib"] = row["peak_mib"] - (rows[0]["peak_mib"] if rows else row["peak_mib"])
        row["maps_mib"] = 12 * height * width / 2**20
        rows.append(row)
        print(json.dumps(row), flush=True)
    if args.out is not None:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        with atomic(args.out) as out:
            out.write(json.dumps(rows, indent=1).encode())


if __name__ == "__main__":
    main()
