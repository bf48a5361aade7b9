"""Sets of backbones as rows of one table: plausibility, the learned judge, and how motifs are held.

Natives go through the same steps as designs and stand beside them as rows of their own. A measure
is a mean over designs with its standard error (`deft.studies.estimate`), but for

    diversity      clusters at TM 0.6 / designs
    handedness     residues in right-handed helices / residues in left-handed ones, of all designs
    radius ratio   the median over designs of the radius of gyration over the median of natives of
                   the same length

whose errors leave out one group of designs after the other, of at most 20.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from deft.errors import InvalidInput
from deft.metrics.protein.backbone_atoms import restored_bonds
from deft.metrics.protein.fragments import fragment_coverage
from deft.metrics.protein.geometry import (
    BOND,
    bends_in_range,
    bond_lengths,
    bond_spread,
    bonds,
    cis_bonds,
    clashes,
    junctions,
    motif_clashes,
    radius_of_gyration,
    radius_ratio,
)
from deft.metrics.protein.judge import ProteinJudge
from deft.metrics.protein.secondary import secondary_structure
from deft.metrics.protein.sets import clusters, nearest_tm_score, pairwise_tm_score
from deft.metrics.protein.superposition import HELD, largest_group, motif_rmsd
from deft.metrics.protein.traces import Present, Trace, checked, lengths
from deft.noise import Noise
from deft.studies.estimate import Estimate, groups
from deft.studies.scores import Measure

MEASURES = (
    Measure("bonds", "Bonds within 0.2 Å of 3.8", "", "higher", 3),
    Measure("bond_spread", "Spread of bonds", "Å", "lower", 2),
    Measure("cis_bonds", "Cis bonds", "", "none", 3),
    Measure("bends", "Bends in range", "", "higher", 3),
    Measure("clashes", "Residues that clash", "", "lower", 3),
    Measure("radius_ratio", "Radius of gyration / natives'", "", "one", 2),
    Measure("helix", "Helix", "", "none", 2),
    Measure("strand", "Strand", "", "none", 2),
    Measure("left_handed", "Left-handed helix", "", "lower", 3),
    Measure("handedness", "Right : left-handed helix", "", "higher", 0),
    Measure("coverage", "Fragments that are known", "", "higher", 2),
    Measure("nearest", "Largest TM-score to training", "", "none", 2),
    Measure("diversity", "Clusters / designs", "", "higher", 2),
    Measure("entropy", "Entropy (Frame2seq)", "nats", "lower", 2),
    Measure("cross_likelihood", "Cross likelihood (GCNdesign)", "nats", "lower", 2),
    Measure("motif_rmsd", "Motif RMSD", "Å", "lower", 2),
    Measure("motif_held", f"Motif RMSD < {HELD:g} Å", "", "higher", 2),
    Measure("junction_bonds", "Bonds at junctions within 0.4 Å", "", "higher", 2),
    Measure("junction_bends", "Bends at junctions in range", "", "higher", 2),
    Measure("motif_clashes", "Motif residues that clash", "", "lower", 3),
)


@final
@dataclass(frozen=True)
class PlacedMotif:
    """Where the motif lies in designs: the residues `index` (designs or 1, m) that hold it, -1 for
    rows that do not exist, its groups (the same shape), and its coordinates (designs or 1, m, 3),
    each group in any frame.
    """

    index: Tensor
    group: Tensor
    coordinates: Tensor

    def part(self, designs: int, length: int) -> Tensor:
        """What each residue belongs to: -1 the scaffold, else the group; (designs, length)."""
        index, group = (part.expand(designs, -1) for part in (self.index, self.group))
        spare = torch.where(index >= 0, index, length)
        part = torch.full((designs, length + 1), -1, dtype=torch.long, device=index.device)
        return part.scatter(1, spare, group)[:, :length]


@final
@dataclass(frozen=True)
class Natives:
    """Traces that designs are compared with: natives, or the chains that a prior was trained on."""

    x: Trace
    mask: Present

    @property
    def radii(self) -> tuple[Tensor, Tensor]:
        """Lengths and radii of gyration."""
        return lengths(self.mask), radius_of_gyration(self.x, self.mask)


@final
@dataclass(frozen=True)
class Measured:
    """The measures of a set: `values` by key, one per design, not a number where there is none;
    residues in right- and left-handed helices, and TM-scores of pairs where they were computed;
    `bonds_off`, |b - 3.8| of all bonds, and `junctions_off`, the largest of each design at its
    junctions.
    """

    label: str
    values: Mapping[str, Tensor]
    helices: Tensor
    similarity: Tensor | None
    bonds_off: Tensor
    junctions_off: Tensor
    judge: str | None = None

    def row(self) -> Row:
        """Means with standard errors, and what is no mean."""
        found: dict[str, Estimate] = {}
        for key, values in self.values.items():
            known = values[~values.isnan()].tolist()
            if known:
                found[key] = Estimate.mean(known)
        count = len(self.helices)

        def ratio(kept: Sequence[int]) -> float:
            right, left = self.helices[list(kept)].sum(0).tolist()
            return right / left if left else math.inf if right else math.nan

        found["handedness"] = leaving_out(ratio, count)
        if "radius_ratio" in self.values:
            radius = self.values["radius_ratio"]
            found["radius_ratio"] = leaving_out(
                lambda kept: float(radius[list(kept)].quantile(0.5)), count
            )
        similarity = self.similarity
        if similarity is not None:

            def different(kept: Sequence[int]) -> float:
                part = similarity[list(kept)][:, list(kept)]
                return len(clusters(part).unique()) / len(kept)

            found["diversity"] = leaving_out(different, count)
        return Row(self.label, count, found, self.judge)


@final
@dataclass(frozen=True)
class Row:
    """One row of a table: the measures by key (`MEASURES` has their names and units)."""

    label: str
    count: int
    values: Mapping[str, Estimate]
    judge: str | None = None

    def card(self) -> dict[str, object]:
        """The row as JSON: value, standard error and count of each measure."""
        cards = {
            measure.key: self.values[measure.key].card()
            for measure in MEASURES
            if measure.key in self.values
        }
        return {"label": self.label, "designs": self.count, "judge": self.judge, "measures": cards}


def evaluate_backbones(
    label: str,
    x: Trace,
    mask: Present | None = None,
    *,
    natives: Natives | None = None,
    training: Natives | None = None,
    motif: PlacedMotif | None = None,
    judge: ProteinJudge | None = None,
    pairs: bool = True,
) -> Measured:
    """The measures of a set of designs.

    `natives` are compared with in radius of gyration and fragments, `training` in TM-scores; both
    without the designs themselves, where these are natives. Without a judge its two numbers are
    left out; `pairs=False` leaves out the diversity, which needs TM-scores of all pairs.
    """
    x, mask = checked(x, mask)
    if len(x) == 0:
        raise InvalidInput("designs", given="none", expected="one or more")
    structure = secondary_structure(x, mask)
    values = {
        "bonds": bonds(x, mask),
        "bond_spread": bond_spread(x, mask),
        "cis_bonds": cis_bonds(x, mask),
        "bends": bends_in_range(x, mask),
        "clashes": clashes(x, mask),
        "helix": structure.helix_share,
        "strand": structure.strand_share,
        "left_handed": structure.left_handed_share,
    }
    if natives is not None:
        values["radius_ratio"] = radius_ratio(x, mask, *natives.radii)
        values["coverage"] = fragment_coverage(x, mask, natives.x, natives.mask)
    if training is not None:
        values["nearest"] = nearest_tm_score(x, mask, training.x, training.mask)[0]
    if judge is not None:
        judged = judge.judge(x, mask)
        values["entropy"] = judged.entropy.cpu()
        values["cross_likelihood"] = judged.cross_likelihood.cpu()
    length, there = bond_lengths(x, mask)
    junctions_off = torch.full((len(x),), torch.nan, dtype=torch.double, device=x.device)
    if motif is not None:
        part = motif.part(*x.shape[:2])
        found = motif_rmsd(x, motif.index, motif.group, motif.coordinates)
        values["motif_rmsd"] = worst = largest_group(found)
        values["motif_held"] = (worst < HELD).double().masked_fill(worst.isnan(), torch.nan)
        values["junction_bonds"], values["junction_bends"] = junctions(x, part, mask)
        values["motif_clashes"] = motif_clashes(x, part >= 0, mask)
        crossed = (part[:, 1:] != part[:, :-1]) & there
        off = (length - BOND).abs().masked_fill(~crossed, -torch.inf).amax(1)
        junctions_off = off.masked_fill(off.isinf(), torch.nan)
    return Measured(
        label,
        {key: value.double().cpu() for key, value in values.items()},
        torch.stack([structure.helix.sum(1), structure.left_handed.sum(1)], 1).cpu(),
        pairwise_tm_score(x, mask) if pairs else None,
        (length - BOND).abs()[there].cpu(),
        junctions_off.cpu(),
        None if judge is None else judge.name,
    )


def noisy(natives: Natives, sigma: float, seed: int = 0) -> Natives:
    """Natives with noise of `sigma` angstrom on each coordinate, and their bonds restored: a row
    that says what the judge makes of folds that are nearly right.
    """
    x, mask = checked(natives.x, natives.mask)
    noise = Noise(range(seed, seed + len(x)), x.device, torch.double)
    moved = x + sigma * noise.normal(0, x.shape[1:]) * mask[..., None]
    return Natives(restored_bonds(moved, mask), mask)


def leaving_out(measure: Callable[[Sequence[int]], float], count: int) -> Estimate:
    """A measure of a set, and the same without each group of its members."""
    every = range(count)
    left = [[i for i in every if i not in set(group)] for group in groups(count)]
    replicates = tuple(measure(kept) for kept in left) if count > 1 else ()
    return Estimate(measure(list(every)), replicates, count)
