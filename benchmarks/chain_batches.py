"""What batches of chains of about one length save in training.

    python benchmarks/chain_batches.py ca_backbones.npz [--batch 8] [--batches 16] [--out FILE]

Training steps of an h-transform of 9 % on `backbone-128` (loss and backward) for batches of whole
chains of 50 to 128 residues, drawn by length and as they come, one of each in turn: the ratio of
the seconds of the processor, and over a whole epoch the ratio of the places that are computed and
of their squares (pairs of residues).
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch

from deft.data.proteins import read_chains
from deft.htransforms.backbone import BackboneHTransform
from deft.noise import Noise
from deft.priors import zoo
from deft.problems.motif import MotifScaffolding
from deft.storage import provenance
from deft.training.chains import Chains
from deft.training.denoising import DenoisingScoreMatching
from deft.training.sources import Order


def places(order: Order, lengths: np.ndarray, batch: int) -> np.ndarray:
    """The longest chain of each whole batch of an epoch."""
    whole = len(lengths) // batch * batch
    drawn = np.array([order[k] for k in range(whole)]).reshape(-1, batch)
    return lengths[drawn].max(1)


def main() -> None:
    """Measure, and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--batches", type=int, default=16)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    prior = zoo.load("backbone-128")
    found = [chain for chain in read_chains(given.data, 50) if len(chain) <= 128]
    source = Chains(found, prior)
    h = BackboneHTransform.for_prior(prior, fraction=0.09).train()
    objective = DenoisingScoreMatching(MotifScaffolding())
    orders = {
        "as they come": Order(len(source), 0),
        "by length": Order(len(source), 0, source.sizes, given.batch),
    }
    spent = dict.fromkeys(orders, 0.0)
    for step in range(-1, given.batches):
        for name, order in orders.items():
            taken = range(max(step, 0) * given.batch, (max(step, 0) + 1) * given.batch)
            began = time.process_time()
            batch = source.batch([order[k] for k in taken], Noise(taken))
            objective.loss(h, batch.told(prior), batch).value.mean().backward()
            if step >= 0:  # the first one warms up
                spent[name] += time.process_time() - began
    lengths = np.array([len(chain) for chain in found])
    usual, own = (places(order, lengths, given.batch) for order in orders.values())
    result = {
        "chains": len(found),
        "batch": given.batch,
        "batches": given.batches,
        "seconds_ratio": round(spent["by length"] / spent["as they come"], 3),
        "places_ratio": round(float(own.mean() / usual.mean()), 3),
        "pairs_ratio": round(float((own**2).mean() / (usual**2).mean()), 3),
        "provenance": {
            "commit": provenance.commit(),
            "command": provenance.command(),
            "versions": provenance.versions(),
            "machine": provenance.machine("cpu"),
        },
    }
    print(json.dumps(result, indent=1))
    if given.out:
        given.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
