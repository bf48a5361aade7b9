"""TM-scores of chains of equal length, residue i beside residue i.

    TM(x, z) = max over rigid motions of  (1 / L) sum_i 1 / (1 + (|R x_i + c - z_i| / d_0)^2)
    d_0(L)   = 1.24 (L - 15)^(1/3) - 1.8, at least 0.5 angstrom

Zhang & Skolnick 2004, doi:10.1002/prot.20264. The maximum is searched from many starts, since the
superposition of least RMSD is far from it where a part of the chain differs: the whole chain and
its windows of L/2, L/4 and L/8 residues. From each, weighted superpositions with

    w_i = 1 / (1 + (d_i / d_0)^2)^2

follow each other. As 1 / (1 + u) is convex in u = (d / d_0)^2, it lies above its tangent, whose
slope is -w: each superposition maximises a lower bound that touches the score, so that the score
never falls.
"""

from __future__ import annotations

import torch
from torch import Tensor

from deft.geometry import superposed
from deft.metrics.protein.superposition import pair
from deft.metrics.protein.traces import Present, Trace, lengths

_SHORTEST, _FIRST, _BEST, _LAST = 4, 4, 4, 16
_AT_ONCE = 1 << 21  # residues that are moved at once


def reach(length: Tensor) -> Tensor:
    """d_0 of chains of so many residues, in angstrom."""
    return (1.24 * (length.double() - 15).clamp(min=0) ** (1 / 3) - 1.8).clamp(min=0.5)


def tm_score(x: Trace, z: Trace, mask: Present | None = None) -> Tensor:
    """The TM-score of each pair of chains, in (0, 1]; 1 for the same structure, about 0.17 for
    unrelated ones, above 0.5 for the same fold.
    """
    x, z, mask = pair(x, z, mask)
    count = lengths(mask)
    found = x.new_zeros(len(x))
    for length in count.unique().tolist():  # its windows are those of the chain, without padding
        seeds = windows(length)
        rows = (count == length).nonzero()[:, 0]
        for some in rows.split(max(1, _AT_ONCE // (length * len(seeds)))):
            found[some] = _searched(x[some, :length], z[some, :length], seeds)
    return found


def windows(length: int) -> Tensor:
    """The residues from which a search starts, a row each: windows of L, L/2, L/4, L/8 residues,
    half a window apart.
    """
    place, rows, size = torch.arange(length), [], length
    while size >= min(_SHORTEST, length) and size > length // 16:
        starts = list(range(0, length - size + 1, max(size // 2, 1)))
        for start in dict.fromkeys([*starts, length - size]):
            rows.append((place >= start) & (place < start + size))
        size //= 2
    return torch.stack(rows)


def _searched(x: Tensor, z: Tensor, seeds: Tensor) -> Tensor:
    """Few steps from every start, and more from the best of them; chains of one length."""
    total = x.shape[1]
    d_0 = reach(torch.tensor(total, device=x.device))
    weights = seeds.to(x.device).double().expand(len(x), -1, -1)
    x, z = x[:, None], z[:, None]
    score = x.new_zeros(weights.shape[:2])
    for step in range(_FIRST + _LAST):
        if step == _FIRST:
            best = score.topk(min(_BEST, score.shape[1]), 1).indices
            weights = weights.gather(1, best[..., None].expand(-1, -1, total))
        several = x.expand(-1, weights.shape[1], -1, -1)
        moved = superposed(several, z.expand_as(several), weights)
        near = 1 / (1 + (moved - z).square().sum(-1) / d_0**2)
        score = near.sum(2) / total
        weights = near**2
    return score.max(1).values
