"""The gate of `backbone-128`, the two lines of the learned judge too, and its spread over seeds.

    python benchmarks/backbone_gate.py ca_backbones.npz --motifs FOLDER --out runs/gate \\
        --keep benchmarks/results/protein/backbone_gate.json

Unconditional designs by `Cooled(80, 0.6, 6)`, of lengths that are spread evenly over 50 to 128
residues, for each seed; those of seed 0 are the ones of the prior's card. The judge (Frame2seq and
GCNdesign, docs/protein.md) reads them, as many natives of held-out clusters, each the one nearest
in length to a design of a seed, and the same natives with 1 angstrom of noise whose bonds are
restored. Natives of validation and test clusters are what the radius of gyration is compared with.

Designs are kept in OUT, so that the same command draws none again; the measures are taken anew.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1] / "recipes"))
import backbone_data
from export_backbone import whole

from deft.metrics import protein
from deft.metrics.protein.judge import load_protein_judge
from deft.noise import Noise, mix
from deft.priors import zoo
from deft.priors.equivariant_backbone import EquivariantBackbone
from deft.samplers.cooled import Cooled
from deft.storage import provenance
from deft.studies.protein import Natives, evaluate_backbones, gate, noisy, passes

SAMPLER = {"steps": 80, "noise_scale": 0.6, "below": 6.0}
DESIGNS, SEEDS, MEMBERS, NOISE = 40, (0, 1, 2), (1,), 1.0
AT_ONCE = 8


def lengths(count: int) -> list[int]:
    """Spread evenly over those that the prior knows."""
    return np.linspace(*backbone_data.LENGTHS, count).round().astype(int).tolist()


@torch.no_grad()
def designs(prior: EquivariantBackbone, sampler: Cooled, seed: int, count: int) -> list[Tensor]:
    """One of each length; with seed 0 as in recipes/export_backbone.py."""
    found: list[Tensor] = []
    for start in range(0, count, AT_ONCE):
        some = lengths(count)[start : start + AT_ONCE]
        numbers = range(start, start + len(some))
        noise = Noise(numbers if seed == 0 else [mix(seed, 9, k) for k in numbers])
        x_0 = sampler.run(prior.of_length(*some), noise)
        found += [row[:n] for row, n in zip(x_0, some, strict=True)]
        print(f"seed {seed}: {len(found)} of {count} designs", flush=True)
    return found


def nearest_in_length(natives: Sequence[Tensor], wanted: Sequence[int]) -> list[Tensor]:
    """For each length the native that is nearest to it, none twice."""
    left, found = list(natives), []
    for n in wanted:
        best = min(range(len(left)), key=lambda i: abs(len(left[i]) - n))
        found.append(left.pop(best))
    return found


def kept(path: Path, make: Callable[[], list[Tensor]]) -> list[Tensor]:
    """Chains out of a file, or made and written there."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(make(), path)
    return list(torch.load(path, weights_only=True))


def measures(
    prior: EquivariantBackbone,
    parts: dict[str, backbone_data.Chains],
    out: Path,
    count: int = DESIGNS,
    members: Sequence[int] | None = MEMBERS,
) -> dict[str, object]:
    """The gate of each seed, with the judge where there are members."""
    natives = whole(parts["val"]) + whole(parts["test"])
    known = Natives(*protein.stacked(natives))
    training = Natives(*protein.stacked(whole(parts["train"])))
    judge = None if members is None else load_protein_judge(members)
    sampler, began = Cooled(**SAMPLER), time.process_time()  # type: ignore[arg-type]
    rows = []
    for seed in SEEDS:
        path = out / f"seed-{seed}-{count}.pt"
        x, mask = protein.stacked(kept(path, partial(designs, prior, sampler, seed, count)))
        kinds = {"natives": known, "training": training, "judge": judge, "pairs": False}
        rows.append(evaluate_backbones(f"seed {seed}", x, mask, **kinds).row())
    own = Natives(*protein.stacked(nearest_in_length(natives, lengths(count))))
    moved = noisy(own, NOISE)
    native, far = (
        evaluate_backbones(label, of.x, of.mask, judge=judge, pairs=False).row()
        for label, of in (("natives", own), ("natives with noise", moved))
    )
    lines = [gate(row, native, far) for row in rows]
    return {
        "prior": prior.identity()["hash"],
        "sampler": f"Cooled({', '.join(f'{k}={v:g}' for k, v in SAMPLER.items())})",
        "designs": count,
        "seeds": list(SEEDS),
        "judge": None if judge is None else judge.name,
        "gates": [[line.card() for line in of_seed] for of_seed in lines],
        "passed": [passes(of_seed) for of_seed in lines],
        "natives": native.card(),
        "natives_with_noise": far.card(),
        "by_seed": [one.card() for one in rows],
        "processor_seconds": round(time.process_time() - began),
    }


def table(found: Mapping[str, Any]) -> str:
    """The lines of the gate by seed, in Markdown, with what natives have and natives with noise."""
    heads = ["", "asked", *(f"seed {seed}" for seed in found["seeds"]), "natives", "with noise"]
    lines = [f"| {' | '.join(heads)} |", "| --- | --- |" + " ---: |" * (len(heads) - 2)]
    others = [
        {"helix and strand": _structure(row), **{c: row["measures"].get(k) for c, k in _KEYS}}
        for row in (found["natives"], found["natives_with_noise"])
    ]
    for same in zip(*found["gates"], strict=True):
        name, asked = same[0]["name"], same[0]["asked"].split(", natives'")[0]
        cells = [_cell(line, line["met"]) for line in same]
        cells += [_cell(of.get(name) or {"value": None}) for of in others]
        lines.append(f"| {name} | {asked} | {' | '.join(cells)} |")
    return "\n".join(lines)


_KEYS = (
    ("bonds within 0.2 Å of 3.8", "bonds"),
    ("residues that clash", "clashes"),
    ("entropy", "entropy"),
    ("cross likelihood", "cross_likelihood"),
)


def _structure(row: Mapping[str, Any]) -> dict[str, float | None]:
    """Helix and strand together."""
    helix, strand = (row["measures"][key]["value"] for key in ("helix", "strand"))
    return {"value": helix + strand, "standard_error": None}


def _cell(line: Mapping[str, Any], met: bool | None = None) -> str:
    """A value with its error; of designs that have no left-handed residue there is no ratio."""
    if line["value"] is None:
        return "none left-handed" if met else "–"
    error = line["standard_error"]
    text = f"{line['value']:.3f}" + (f" ± {error:.3f}" if error is not None else "")
    return text if met is not False else f"{text}, **not met**"


def main() -> None:
    """Draw, measure, and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="ca_backbones.npz")
    parser.add_argument("--motifs", type=Path, help="folder of the benchmark's motif files")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--keep", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    given.out.mkdir(parents=True, exist_ok=True)
    prior = zoo.load("backbone-128")
    assert isinstance(prior, EquivariantBackbone)
    chains = backbone_data.read(given.data)
    parts = backbone_data.split(chains, given.motifs, given.out / "left_out.json")
    found = measures(prior, parts, given.out)
    found["provenance"] = {
        "commit": provenance.commit(),
        "command": provenance.command(),
        "versions": provenance.versions(),
        "machine": provenance.machine("cpu"),
    }
    print(table(found))
    if given.keep:
        given.keep.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
