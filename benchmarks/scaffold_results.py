"""What the parts of benchmarks/scaffold.py say: measures of every design, successes, and tables.

The thresholds of a set are those of its own unconditional designs, which have the same lengths
(deft.studies.protein.gate). Shares of one design a problem have the standard error over chains, of
several seeds the mean over seeds of each chain first; shares of many designs a problem have
Wilson's interval of 95 %,

    (p + z^2 / 2n +- z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n),    z = 1.96

which is of these problems, not of others.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, final

import torch
from scaffold_setting import Problem
from torch import Tensor

from deft.metrics import protein
from deft.metrics.protein.judge import load_protein_judge
from deft.pipeline.scaffolds import chains_at_all
from deft.storage.atomic import atomic
from deft.studies.estimate import Estimate, finite
from deft.studies.protein import Measured, PlacedMotif, Thresholds, evaluate_backbones
from deft.studies.protein import joint_success as successes

FREE, DEFT, HELD = "unconditional", "DEFT-9 %", "held-out"
KEYS = ("motif_rmsd", "bonds", "clashes", "junction_bonds", "junction_bends", "helix", "strand")
Z = 1.96


@final
@dataclass(frozen=True)
class Part:
    """The designs of one method for one problem, where what the judge says of them is kept, and the
    processor's seconds that each took to draw.
    """

    which: str
    problem: Problem
    method: str
    seed: int
    x: Tensor
    mask: Tensor
    judged: Path
    seconds: float = math.nan


def wilson(count: int, n: int) -> tuple[float, float]:
    """The interval of 95 % of a share, count of n."""
    p, middle = count / n, (count + Z**2 / 2) / (n + Z**2)
    half = Z * math.sqrt(p * (1 - p) / n + Z**2 / (4 * n**2)) / (1 + Z**2 / n)
    return max(middle - half, 0.0), min(middle + half, 1.0)


def chains_of(parts: Sequence[Part]) -> list[Tensor]:
    """All designs without their padding."""
    return [x[m] for part in parts for x, m in zip(part.x, part.mask, strict=True)]


def diverged(parts: Sequence[Part]) -> Tensor:
    """Which designs are no chains, by the limit of `deft scaffold`: not finite, or with a residue
    further from the middle than a file has room for. Their steps were too large.
    """
    layouts = [layout for part in parts for layout in part.problem.layouts]
    return ~torch.tensor(chains_at_all(chains_of(parts), layouts))


def measured(parts: Sequence[Part]) -> Measured:
    """The measures of the designs of several parts, one after the other. One that diverged has
    none, and does not hold its motif.
    """
    x, mask = protein.stacked(chains_of(parts))
    lost = diverged(parts)
    straight = torch.zeros_like(x[0])
    straight[:, 0] = 3.8 * torch.arange(len(straight))
    x = torch.where(lost[:, None, None], straight, x)
    motifs = [part.problem.placed for part in parts]
    rows = max(motif.index.shape[1] for motif in motifs)

    def joined(name: str, empty: float) -> Tensor:
        own = [getattr(motif, name) for motif in motifs]
        tail = [(0, 0)] * (own[0].dim() - 2)
        return torch.cat(
            [
                torch.nn.functional.pad(
                    t, [*(k for pair in tail for k in pair), 0, rows - t.shape[1]], value=empty
                )
                for t in own
            ]
        )

    motif = PlacedMotif(joined("index", -1), joined("group", -1), joined("coordinates", 0.0))
    found = evaluate_backbones(parts[0].method, x, mask, motif=motif, pairs=False)
    values = {key: value.masked_fill(lost, torch.nan) for key, value in found.values.items()}
    values["motif_held"] = found.values["motif_held"].masked_fill(lost, 0.0)
    off = found.junctions_off.masked_fill(lost, torch.nan)
    return replace(found, values=values, junctions_off=off)


@final
class Judging:
    """Cross likelihoods, kept by part; none without members."""

    def __init__(self, members: Sequence[int] | None) -> None:
        self.judge = None if members is None else load_protein_judge(tuple(members))

    def kept(self, path: Path, chains: Sequence[Tensor], which: Tensor) -> Tensor:
        """Of the chains that are asked for; not a number for those that were never judged."""
        known: list[float | None] = (
            json.loads(path.read_text()) if path.exists() else [None] * len(chains)
        )
        missing = [i for i in which.nonzero().flatten().tolist() if known[i] is None]
        if self.judge is not None and missing:
            x, mask = protein.stacked([chains[i] for i in missing])
            said = self.judge.judge(x, mask).cross_likelihood.tolist()
            for i, value in zip(missing, said, strict=True):
                known[i] = value
            with atomic(path) as file:
                file.write(json.dumps(known).encode())
        found = [math.nan if value is None else value for value in known]
        return torch.tensor(found, dtype=torch.double)

    def of(self, parts: Sequence[Part], which: Tensor) -> Tensor:
        """Of the designs of several parts."""
        shares = which.split([len(part.x) for part in parts])
        found = [
            self.kept(part.judged, chains_of([part]), own)
            for part, own in zip(parts, shares, strict=True)
        ]
        return torch.cat(found)


def with_cross(found: Measured, cross: Tensor, judge: Judging) -> Measured:
    """Measures with the judge's; without a judge as they are."""
    if judge.judge is None:
        return found
    return replace(found, values={**found.values, "cross_likelihood": cross})


def results(
    parts: Sequence[Part],
    natives: Sequence[Tensor],
    training: tuple[Tensor, Tensor],
    *,
    members: Sequence[int] | None,
    most: int,
    cache: Path,
) -> dict[str, Any]:
    """Everything that is measured, as JSON."""
    judge = Judging(members)
    x, mask = protein.stacked(natives)
    own = evaluate_backbones("natives", x, mask, pairs=False)
    every = torch.ones(len(natives), dtype=torch.bool)
    native = with_cross(own, judge.kept(cache, natives, every), judge)
    strict = Thresholds.of(native)
    found: dict[str, Any] = {
        "judge": None if judge.judge is None else judge.judge.name,
        "natives": {"chains": len(natives), **means(native), "thresholds": asdict(strict)},
        "sets": {},
    }
    for which in dict.fromkeys(part.which for part in parts):
        of_set = [part for part in parts if part.which == which]
        base = [part for part in of_set if part.method == FREE and part.seed == 0]
        free = measured(base)
        cross = judge.of(base, ~diverged(base))
        limits = Thresholds.of(with_cross(free, cross, judge))
        rows = {}
        for method in dict.fromkeys(part.method for part in of_set):
            own_parts = [part for part in of_set if part.method == method]
            rows[method] = row(own_parts, limits, strict, judge, training, most)
        found["sets"][which] = {
            "thresholds": asdict(limits),
            "methods": rows,
            "differences": differences(rows),
        }
    return found


def row(
    parts: Sequence[Part],
    limits: Thresholds,
    strict: Thresholds,
    judge: Judging,
    training: tuple[Tensor, Tensor],
    most: int,
) -> dict[str, Any]:
    """One method on one set: all of its designs, and what they come to."""
    found, lost = measured(parts), diverged(parts)
    geometry = successes(found, replace(limits, cross_likelihood=None))
    asked = geometry | successes(found, replace(strict, cross_likelihood=None))
    if parts[0].which == HELD or parts[0].method == FREE:
        asked = ~lost
    found = with_cross(found, judge.of(parts, asked), judge)
    joint, by_natives = successes(found, limits), successes(found, strict)
    names = [part.problem.name for part in parts for _ in part.x]
    seeds = [part.seed for part in parts for _ in part.x]
    values = {
        **{key: numbers(found.values[key]) for key in KEYS},
        "junction_off": numbers(found.junctions_off),
        "cross_likelihood": numbers(found.values["cross_likelihood"]) if judge.judge else None,
        "geometry": geometry.int().tolist(),
        "joint": joint.int().tolist(),
        "joint_by_natives": by_natives.int().tolist(),
    }
    good = [chain for chain, ok in zip(chains_of(parts), joint.tolist(), strict=True) if ok]
    by_problem = {
        name: [ok for ok, of in zip(joint.tolist(), names, strict=True) if of == name]
        for name in dict.fromkeys(names)
    }
    summary: dict[str, Any] = {
        "designs": len(names),
        "diverged": int(lost.sum()),
        **means(found),
        **{
            key: {"count": int(which.sum()), "wilson": wilson(int(which.sum()), len(names))}
            for key, which in (
                ("geometry", geometry),
                ("joint", joint),
                ("joint_by_natives", by_natives),
            )
        },
        "solved": sum(any(each) for each in by_problem.values()),
        "by_problem": {name: [sum(each), len(each)] for name, each in by_problem.items()},
        "novelty": novelty(good[:most], training),
        "seconds": {part.problem.name: finite(round(part.seconds, 4)) for part in parts},
    }
    if parts[0].which == HELD:
        for key, which in (("joint", joint), ("joint_by_natives", by_natives)):
            chains = which.double().unflatten(0, (len(parts), -1)).mean(0)
            summary[key] |= {"over_chains": Estimate.mean(chains.tolist()).card()}
    else:
        summary["clusters"] = clusters(good, [n for n, ok in zip(names, joint.tolist()) if ok])
    return {**summary, "problem": names, "seed": seeds, "values": values}


def differences(rows: Mapping[str, Any]) -> dict[str, Any]:
    """The joint successes of DEFT less those of each other method, paired: over held-out chains, or
    over the problems that both had.
    """
    if DEFT not in rows:
        return {}
    own, found = each(rows[DEFT]), {}
    for name, row in rows.items():
        other = each(row)
        common = [place for place in own if place in other]
        if name != DEFT:
            found[name] = Estimate.mean([own[p] - other[p] for p in common]).card()
    return found


def each(row: Mapping[str, Any]) -> dict[str, float]:
    """The share of joint successes of each problem; held-out chains are one each."""
    found: dict[str, list[int]] = {}
    chains = row["designs"] // (max(row["seed"]) + 1)
    for i, (name, ok) in enumerate(zip(row["problem"], row["values"]["joint"], strict=True)):
        place = f"chain {i % chains}" if name == HELD else name
        found.setdefault(place, []).append(ok)
    return {name: sum(all_) / len(all_) for name, all_ in found.items()}


def clusters(chains: Sequence[Tensor], names: Sequence[str]) -> int:
    """Clusters at TM 0.6 of each problem's successes, summed."""
    total = 0
    for name in dict.fromkeys(names):
        own = [chain for chain, of in zip(chains, names, strict=True) if of == name]
        scores = protein.pairwise_tm_score(*protein.stacked(own))
        total += len(protein.clusters(scores).unique())
    return total


def novelty(chains: Sequence[Tensor], training: tuple[Tensor, Tensor]) -> float | None:
    """The mean of the largest TM-score to a training chain."""
    if not chains:
        return None
    best, _ = protein.nearest_tm_score(*protein.stacked(chains), *training, keep=8)
    return float(best.mean())


def means(found: Measured) -> dict[str, Any]:
    """Means over designs with standard errors; of the motif's RMSD the median too."""
    row = found.row().values
    known = (*KEYS, "bends", "motif_held", "cross_likelihood")
    partly = [key for key, each_ in found.values.items() if bool(each_.isnan().any())]
    known = tuple(key for key in known if key != "cross_likelihood" or key not in partly)
    values = {key: row[key].card() for key in known if key in row}
    if "motif_rmsd" in values:
        values["motif_rmsd"]["median"] = float(found.values["motif_rmsd"].nanmedian())
    return values


def numbers(values: Tensor) -> list[float | None]:
    """Rounded, None where there is none."""
    return [finite(round(float(value), 4)) for value in values]
