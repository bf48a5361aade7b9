"""How a trained backbone prior becomes the file that ships, and whether it passes its gate.

    python recipes/export_backbone.py ca_backbones.npz --motifs MOTIFS --run runs/backbone \\
        --out src/deft/weights

reads the moving average of the weights that `train_backbone.py` left in RUN/state.pt, and writes
OUT/backbone-128.safetensors with its card: the denoising error on held-out chains by noise level,
root mean square per residue in angstrom, beside that of the Gaussian chain, and what samples look
like beside natives of the same lengths (deft.metrics.protein). The gate of a backbone prior is

    bonds within 0.2 of 3.8 angstrom       at least 95 %
    residues that clash (< 3.5 angstrom)   at most 2 %
    radius of gyration, median             within 5 % of natives of the same length
    helix and strand                       at least 40 % of residues
    right-handed helices                   more than 20 for each left-handed one
    largest TM-score to a training chain   below 0.6 in the mean

Each line of it is on the card, passed or not. The designs of the gate are drawn with less noise at
low noise levels (deft.samplers.cooled); beside them stand designs of the prior's own law.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from backbone_data import LENGTHS, Chains, read, split
from torch import Tensor
from train_backbone import errors, held_out, untrained

from deft.metrics import protein
from deft.noise import Noise
from deft.priors import zoo
from deft.priors.equivariant_backbone import EquivariantBackbone
from deft.samplers.base import Sampler
from deft.samplers.cooled import Cooled

FACTS = {
    "data": "C-alpha traces of experimental structures of the Protein Data Bank, whole chains of "
    "50 to 128 residues and compact windows of longer ones",
    "terms": "PDB coordinates are CC0 (wwPDB). They were taken from mmtf-pyspark and "
    "mmtf-workshop-2018 (Apache-2.0), cgdms, EquiDock, EigenFold, ddg, PyDSSP and ProteinMPNN "
    "(MIT) and RFdiffusion (BSD)",
    "unit": "angstrom; chains are centred at the mean of their residues",
    "left_out": "a tenth of the sequence clusters each for validation and test, and every cluster "
    "with a protein of the motif-scaffolding benchmark, found by its PDB code and by the sequences "
    "of motif segments (recipes/backbone_data.py)",
}


@torch.no_grad()
def designs(
    prior: EquivariantBackbone, drawn_by: Sampler, lengths: list[int], batch: int = 8
) -> list[Tensor]:
    """One design of each length; of each its length and its number in the list decide."""
    found = []
    for start in range(0, len(lengths), batch):
        some = lengths[start : start + batch]
        noise = Noise(range(start, start + len(some)))
        x_0 = drawn_by.run(prior.of_length(*some), noise)
        found += [row[:n] for row, n in zip(x_0, some, strict=True)]
        print(f"{len(found)} of {len(lengths)} designs", flush=True)
    return found


def looks(chains: list[Tensor], natives: list[Tensor]) -> dict[str, float]:
    """Means over chains; the radius of gyration over that of natives of the same length."""
    x, mask = protein.stacked(chains)
    own, own_mask = protein.stacked(natives)
    structure = protein.secondary_structure(x, mask)
    ratio = protein.radius_ratio(
        x, mask, own_mask.sum(1), protein.radius_of_gyration(own, own_mask)
    )
    hand = protein.handedness(structure)
    return {
        "bonds": float(protein.bonds(x, mask).mean()),
        "bond_spread": float(protein.bond_spread(x, mask).mean()),
        "bends_in_range": float(protein.bends_in_range(x, mask).mean()),
        "clashes": float(protein.clashes(x, mask).mean()),
        "radius_of_gyration_over_natives": float(ratio.median()),
        "helix": float(structure.helix_share.mean()),
        "strand": float(structure.strand_share.mean()),
        "right_for_each_left_handed": min(hand, 1e6),
    }


def gate(found: dict[str, float]) -> dict[str, bool]:
    """Each line of the gate, and whether all are passed."""
    lines = {
        "bonds": found["bonds"] >= 0.95,
        "clashes": found["clashes"] <= 0.02,
        "radius_of_gyration": abs(found["radius_of_gyration_over_natives"] - 1) <= 0.05,
        "secondary_structure": found["helix"] + found["strand"] >= 0.4,
        "handedness": found["right_for_each_left_handed"] > 20,
        "novelty": found["largest_tm_score_to_training"] < 0.6,
    }
    return {**lines, "passed": all(lines.values())}


def whole(chains: Chains) -> list[Tensor]:
    """Chains of the lengths of the prior, one of each group of nearly equal ones."""
    return [
        torch.from_numpy(x)
        for x, weight in zip(chains.coordinates, chains.weights, strict=True)
        if LENGTHS[0] <= len(x) <= LENGTHS[1] and weight == 1.0
    ]


def main() -> None:
    """Measure, write, and say whether the gate is passed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="ca_backbones.npz")
    parser.add_argument("--motifs", type=Path, help="folder of the benchmark's motif files")
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("exported"))
    parser.add_argument("--steps", type=int, default=80, help="evaluations per design")
    parser.add_argument("--noise-scale", type=float, default=0.6, help="of the sampler")
    parser.add_argument(
        "--below", type=float, default=6.0, help="the noise level in angstrom below which it holds"
    )
    parser.add_argument("--samples", type=int, default=40)
    parser.add_argument(
        "--whole-noise", type=int, default=16, help="designs of the prior's own law"
    )
    parser.add_argument("--hardware", default="a share of one core of an x86-64 CPU, float32")
    parser.add_argument("--note", default="", help="what else there is to say about the training")
    args = parser.parse_args()
    torch.set_num_threads(1)
    state = torch.load(args.run / "state.pt", weights_only=True)
    trained = untrained(**state["sizes"])
    trained.load_state_dict(state["average"])
    path = args.out / "backbone-128.safetensors"
    zoo.save(path, trained)
    prior = zoo.load(path)
    assert isinstance(prior, EquivariantBackbone)

    parts = split(read(args.data), args.motifs, args.run / "left_out.json")
    checked = held_out(parts["test"], 96)
    found = errors(prior, checked)
    natives, training = whole(parts["val"]) + whole(parts["test"]), whole(parts["train"])
    lengths, fewer = (
        np.linspace(*LENGTHS, n).round().astype(int).tolist()
        for n in (args.samples, args.whole_noise)
    )
    drawn_by = Cooled(args.steps, args.noise_scale, args.below)
    chains = designs(prior, drawn_by, lengths)
    own = looks(chains, natives)
    plain = looks(designs(prior, Cooled(args.steps, 1.0), fewer), natives)
    x, mask = protein.stacked(chains)
    best, _ = protein.nearest_tm_score(x, mask, *protein.stacked(training), keep=8)
    own["largest_tm_score_to_training"] = float(best.mean())
    own["diversity"] = protein.diversity(x, mask)
    card = {
        **FACTS,
        "training": {
            "recipe": "recipes/train_backbone.py",
            "steps": int(state["step"]),
            "seconds": round(float(state["seconds"])),
            "chains": len(parts["train"].ids),
            "hardware": args.hardware,
            **({"note": args.note} if args.note else {}),
        },
        "held_out_denoising_error": {
            "chains": len(checked),
            "unit": "root mean square per residue in angstrom",
            "by_noise_level": [
                {
                    "log_snr": round(-2 * float(np.log(sigma)), 3),
                    "prior": own_error,
                    "gaussian_chain": wiener,
                }
                for sigma, own_error, wiener in zip(*found.values(), strict=True)
            ],
        },
        "samples": {
            "count": len(chains),
            "sampler": f"Cooled(steps={args.steps}, noise_scale={args.noise_scale:g}, "
            f"below={args.below:g})",
            "designs": own,
            "designs_with_the_whole_noise": {"count": len(fewer), **plain},
            "natives": looks(natives, natives),
        },
        "gate": gate(own),
    }
    zoo.save(path, prior, card)
    print(json.dumps({"samples": card["samples"], "gate": card["gate"]}, indent=2))


if __name__ == "__main__":
    main()
