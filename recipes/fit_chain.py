"""The numbers of `ChainSpectrum`, from native chains, and how well the filter that they make
denoises chains of other clusters.

    python recipes/fit_chain.py CHAINS.npz --out benchmarks/results/protein/chain.json

CHAINS.npz holds `coords` (all C-alpha atoms of all chains, one after the other, in angstrom),
`lengths` and `cluster` of each chain, and `nonredundant`, whether it is taken. A tenth of the
clusters is held out. Errors are per residue in angstrom, of one coordinate times sqrt(3), at noise
levels sigma; beside them those of the best multiple of x_t for chains of each length.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from deft.noise import Noise
from deft.priors.chain_spectrum import ChainSpectrum
from deft.priors.gaussian_chain import GaussianChain

SIGMAS = (0.3, 1.0, 3.0, 10.0, 30.0)
LENGTHS = ((50, 64), (65, 96), (97, 128), (129, 192), (193, 256))


def read(path: Path) -> tuple[list[Tensor], np.ndarray]:
    """Chains, centred, and the cluster of each."""
    with np.load(path) as file:
        held = {name: file[name] for name in ("coords", "lengths", "cluster", "nonredundant")}
    ends = np.cumsum(held["lengths"])
    kept = np.flatnonzero(held["nonredundant"])
    chains = [
        torch.tensor(held["coords"][ends[i] - held["lengths"][i] : ends[i]]).double() for i in kept
    ]
    return [chain - chain.mean(0) for chain in chains], held["cluster"][kept]


def errors(chains: list[Tensor], spectrum: ChainSpectrum) -> dict[str, dict[str, float]]:
    """Root mean squared errors of the filter and of the best multiple, at each noise level."""
    longest = max(map(len, chains))
    prior = GaussianChain(longest, spectrum=spectrum).double()
    found: dict[str, dict[str, float]] = {}
    for sigma in SIGMAS:
        filtered = scaled = residues = 0.0
        for seed, chain in enumerate(chains):
            own = prior.of_length(len(chain))
            x_t = chain + sigma * own.noise(Noise([seed], dtype=torch.float64), 0)[0]
            one, level = torch.ones(1, 1, 1).double(), torch.full((1, 1, 1), sigma).double()
            estimate = own.wiener(x_t[None], one, level, own.mask)[0]
            power = float(spectrum.variances(len(chain)).sum()) / len(chain)
            multiple = power / (power + sigma**2) * x_t
            filtered += float((estimate - chain).square().sum())
            scaled += float((multiple - chain).square().sum())
            residues += len(chain)
        found[f"{sigma:g}"] = {
            "filter": round(math.sqrt(filtered / residues), 4),
            "multiple": round(math.sqrt(scaled / residues), 4),
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("chains", type=Path)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    chains, clusters = read(arguments.chains)
    training = [chain for chain, cluster in zip(chains, clusters, strict=True) if cluster % 10]
    held_out = [chain for chain, cluster in zip(chains, clusters, strict=True) if not cluster % 10]
    spectrum = ChainSpectrum.fit(training)
    result: dict[str, object] = {
        "chains": len(training),
        "numbers": {name: float(f"{value:.3g}") for name, value in vars(spectrum).items()},
        "held_out": {},
    }
    kept: dict[str, object] = {}
    for low, high in LENGTHS:
        some = [chain for chain in held_out if low <= len(chain) <= high]
        kept[f"{low}-{high}"] = {"chains": len(some), "errors": errors(some, spectrum)}
    result["held_out"] = kept
    text = json.dumps(result, indent=1)
    print(text)
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
