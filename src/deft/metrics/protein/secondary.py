"""Secondary structure and handedness from the C-alpha trace alone.

The criteria are those of P-SEA (Labesse et al. 1997, doi:10.1093/bioinformatics/13.3.291), with
distances in angstrom from residue i - 1, and angles in degrees:

             d2 = |i-1, i+1|  d3 = |i-1, i+2|  d4 = |i-1, i+3|  bend at i  torsion i-1 .. i+2
    helix    -                5.3 +- 0.5       6.4 +- 0.6       89 +- 12   50 +- 20
    strand   6.7 +- 0.6       9.9 +- 0.9       12.4 +- 1.1      124 +- 14  -170 +- 45

A residue is a candidate where all its distances fit, or its bend and its torsion. A helix is five
candidates in a row or more; a strand is four, or three that have five residues or more of other
strands at 4.2 to 5.2 angstrom. Both grow by one residue at each end where d3 or the bend (helix),
or d3 (strand) fits. One departure: distances do not tell mirror images apart, so that a candidate
of a helix needs a torsion above zero too; helices of the mirror image are left-handed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor

from deft.metrics.protein.geometry import bends, torsions
from deft.metrics.protein.traces import Present, Trace, checked, mean_over

_PAIRED = (4.2, 5.2)


@final
@dataclass(frozen=True)
class Structure:
    """Which residues lie in right-handed helices, strands, and left-handed helices: (chains,
    length) of truth values; and which exist.
    """

    helix: Tensor
    strand: Tensor
    left_handed: Tensor
    mask: Tensor

    @property
    def helix_share(self) -> Tensor:
        """The share of residues in right-handed helices, per chain."""
        return mean_over(self.helix, self.mask)

    @property
    def strand_share(self) -> Tensor:
        """The share of residues in strands, per chain."""
        return mean_over(self.strand, self.mask)

    @property
    def left_handed_share(self) -> Tensor:
        """The share of residues in left-handed helices, per chain."""
        return mean_over(self.left_handed, self.mask)


def secondary_structure(x: Trace, mask: Present | None = None) -> Structure:
    """Helices, strands and left-handed helices of each chain."""
    x, mask = checked(x, mask)
    if x.shape[1] < 5:
        none = torch.zeros_like(mask)
        return Structure(none, none, none, mask)
    d2, d3, d4 = (_from_before(x, mask, apart) for apart in (2, 3, 4))
    bend = _at(bends(x, mask), x.shape[1])
    torsion = _at(torsions(x, mask), x.shape[1])
    loose = _within(d3, 5.3, 0.5) | _within(bend, 89, 12)
    helices = []
    for hand in (torsion, -torsion):
        fits = (_within(d3, 5.3, 0.5) & _within(d4, 6.4, 0.6) & (hand > 0)) | (
            _within(bend, 89, 12) & _within(hand, 50, 20)
        )
        helices.append(_grown(_runs(fits, 5), loose & (hand > 0)))
    helix, left_handed = helices
    turned = (torsion + 170).remainder(360)
    extended = _within(d2, 6.7, 0.6) & _within(d3, 9.9, 0.9) & _within(d4, 12.4, 1.1)
    fits = extended | (_within(bend, 124, 14) & ((turned <= 45) | (turned >= 315)))
    fits = fits & ~helix & ~left_handed
    strand = _runs(fits, 4) | _paired(x, mask, _runs(fits, 3) & ~_runs(fits, 4))
    strand = _grown(strand, _within(d3, 9.9, 0.9)) & ~helix & ~left_handed
    return Structure(helix & mask, strand & mask, left_handed & ~helix & mask, mask)


def handedness(structure: Structure) -> float:
    """Residues in right-handed helices over residues in left-handed ones, in all chains together;
    infinite where there are right-handed ones alone, not a number where there is no helix.
    """
    right, left = float(structure.helix.sum()), float(structure.left_handed.sum())
    return right / left if left else torch.inf if right else torch.nan


def _from_before(x: Tensor, mask: Tensor, apart: int) -> Tensor:
    """|x_{i-1+apart} - x_{i-1}| at residue i, not a number where one of them is missing."""
    distance = (x[:, apart:] - x[:, :-apart]).norm(dim=-1)
    return _at((distance, mask[:, apart:]), x.shape[1])


def _at(found: tuple[Tensor, Tensor], length: int) -> Tensor:
    """Values that begin at residue 1, along all residues; not a number where there is none."""
    value, there = found
    value = torch.where(there, value, torch.nan)
    return F.pad(value, (1, length - 1 - value.shape[1]), value=torch.nan)


def _within(value: Tensor, middle: float, reach: float) -> Tensor:
    """Whether a value lies within `reach` of `middle`; what is not a number does not."""
    return (value - middle).abs() <= reach


def _runs(fits: Tensor, least: int) -> Tensor:
    """The residues of runs of at least `least` residues that fit."""
    whole = fits.unfold(1, least, 1).all(-1)  # a run begins here
    return F.pad(whole, (least - 1, least - 1)).unfold(1, least, 1).any(-1)


def _grown(runs: Tensor, also: Tensor) -> Tensor:
    """Runs with one more residue at each end where `also` holds there."""
    beside = F.pad(runs, (0, 1))[:, 1:] | F.pad(runs, (1, 0))[:, :-1]
    return runs | (beside & also)


def _paired(x: Tensor, mask: Tensor, runs: Tensor) -> Tensor:
    """The runs whose residues have five others or more between 4.2 and 5.2 angstrom, in all; those
    up to two places away along the chain do not count.
    """
    place = torch.arange(x.shape[1], device=x.device)
    apart = (place[:, None] - place[None, :]).abs() > 2
    distance = torch.cdist(x, x)
    near = (distance >= _PAIRED[0]) & (distance <= _PAIRED[1]) & apart & mask[:, None, :]
    count = near.sum(2).double() * runs
    begins = runs & ~F.pad(runs, (1, 0))[:, :-1]
    run = begins.long().cumsum(1)
    total = torch.zeros(len(x), x.shape[1] + 1, dtype=torch.double, device=x.device)
    total.scatter_add_(1, run, count)
    return runs & (total.gather(1, run) >= 5)
