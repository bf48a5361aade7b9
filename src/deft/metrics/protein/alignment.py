"""TM-scores of chains of different lengths, whose residues are aligned as well.

    TM(x, z) = max over alignments (i, j(i)) and rigid motions of
               (1 / L_x) sum over aligned i of 1 / (1 + (|R x_i + c - z_j(i)| / d_0(L_x))^2)

As in TM-align (Zhang & Skolnick 2005, doi:10.1093/nar/gki524), alignments and superpositions take
turns: dynamic programming over S_ij = 1 / (1 + (d_ij / d_0)^2), with a cost of 0.6 for every place
where the alignment jumps, then superpositions on what it aligns (`tm_score`). It starts from the
best placements of one chain along the other without a gap, and from the residues whose surroundings
are most alike. The result is a lower bound of the
maximum; it is not symmetric, since it is per residue of x.

With M(i, j) the best alignment that ends with (i, j), and B(i, j) the maximum of M over all
(k, l) with k <= i and l <= j,

    M(i, j) = S_ij + max(0, M(i-1, j-1), B(i-1, j-1) - 0.6)

so that a row follows from the row above by a running maximum, for many pairs at once.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from deft.geometry import superposed
from deft.metrics.protein.surroundings import placed
from deft.metrics.protein.tm_score import reach
from deft.metrics.protein.traces import Present, Trace, checked, lengths

_JUMP, _ROUNDS, _STEPS, _LIKELY, _STARTS = 0.6, 5, 3, 12, 2
_AT_ONCE = 1 << 21  # entries of S


def aligned_tm_score(
    x: Trace, z: Trace, x_mask: Present | None = None, z_mask: Present | None = None
) -> Tensor:
    """The TM-score of each pair of chains of any lengths, per residue of x: (pairs,), in (0, 1]."""
    x, x_mask = checked(x, x_mask)
    z, z_mask = checked(z, z_mask, "z")
    step = max(1, _AT_ONCE // (x.shape[1] * z.shape[1]))
    parts = [
        _aligned(*(part[i : i + step] for part in (x, z, x_mask, z_mask)))
        for i in range(0, len(x), step)
    ]
    return torch.cat(parts) if parts else x.new_zeros(0)


def _aligned(x: Tensor, z: Tensor, x_mask: Tensor, z_mask: Tensor) -> Tensor:
    total = lengths(x_mask)
    d_0 = reach(total)[:, None]
    best = x.new_zeros(len(x))
    for partner in _starts(x, z, x_mask, z_mask, d_0):
        for _ in range(_ROUNDS):
            moved, score = _fitted(x, z, partner, d_0)
            best = torch.maximum(best, score / total)
            near = 1 / (1 + (torch.cdist(moved, z) / d_0[..., None]) ** 2)
            there = x_mask[:, :, None] & z_mask[:, None, :]
            partner = best_alignment(near.masked_fill(~there, -1e3))
        best = torch.maximum(best, _fitted(x, z, partner, d_0)[1] / total)
    return best


def best_alignment(score: Tensor) -> Tensor:
    """The alignment with the greatest sum of scores (pairs, L_x, L_z), less 0.6 for every jump: for
    each residue of x its partner in z, or -1: (pairs, L_x).
    """
    pairs, rows, columns = score.shape
    above = score.new_full((pairs, columns), -torch.inf)
    top, place = score.new_zeros(pairs, columns), torch.full((pairs, columns), -1)
    place = place.to(score.device)
    column = torch.arange(columns, device=score.device)
    before = []
    for i in range(rows):
        diagonal = F.pad(above, (1, 0), value=-torch.inf)[:, :-1]
        jump = F.pad(top, (1, 0))[:, :-1]
        origin = F.pad(place, (1, 0), value=-1)[:, :-1]
        jump = torch.where(origin >= 0, jump - _JUMP, 0.0)
        origin = torch.where(jump > 0, origin, -1)
        straight = diagonal > jump.clamp(min=0)
        before.append(torch.where(straight, (i - 1) * columns + column - 1, origin))
        above = score[:, i] + torch.where(straight, diagonal, jump.clamp(min=0))
        highest, where = above.cummax(1)
        better = highest > top
        top = torch.where(better, highest, top)
        place = torch.where(better, i * columns + where, place)
    return _traced(torch.stack(before, 1).flatten(1), place[:, -1], rows, columns)


def _traced(before: Tensor, last: Tensor, rows: int, columns: int) -> Tensor:
    """Partners along the path that ends at `last`."""
    partner = torch.full((len(before), rows + 1), -1, device=before.device)
    for _ in range(rows):
        on = last >= 0
        row = torch.where(on, last // columns, rows)
        partner.scatter_(1, row[:, None], torch.where(on, last % columns, -1)[:, None])
        last = torch.where(on, before.gather(1, last.clamp(min=0)[:, None])[:, 0], -1)
    return partner[:, :rows]


def _fitted(
    x: Tensor, z: Tensor, partner: Tensor, d_0: Tensor, steps: int = _STEPS
) -> tuple[Tensor, Tensor]:
    """x on its partners by steps that never lower the score, and the sum of the score."""
    held = z.gather(1, partner.clamp(min=0)[..., None].expand(-1, -1, 3))
    there = (partner >= 0).double()
    weights, moved = there, x
    for _ in range(steps):
        moved = superposed(x, held, weights)
        weights = (there / (1 + (moved - held).square().sum(-1) / d_0**2)) ** 2
    return moved, (there / (1 + (moved - held).square().sum(-1) / d_0**2)).sum(1)


def _starts(x: Tensor, z: Tensor, x_mask: Tensor, z_mask: Tensor, d_0: Tensor) -> list[Tensor]:
    """Alignments to start from: partners (pairs, L_x), the best of the likely placements without a
    gap, and the best alignment of like surroundings.
    """
    alike, sums = placed(x, x_mask, z, z_mask)
    likely = sums.topk(min(_LIKELY, sums.shape[1]), 1).indices - (x.shape[1] - 1)
    row, other = torch.arange(x.shape[1], device=x.device), lengths(z_mask)
    partner = row + likely[..., None]
    there = x_mask[:, None] & (partner >= 0) & (partner < other[:, None, None])
    partner = torch.where(there, partner, -1)
    score = torch.stack([_fitted(x, z, one, d_0, steps=1)[1] for one in partner.unbind(1)], 1)
    best = score.topk(min(_STARTS, score.shape[1]), 1).indices
    chosen = partner.gather(1, best[..., None].expand(-1, -1, x.shape[1]))
    there = x_mask[:, :, None] & z_mask[:, None, :]
    alike = alike.double() / alike.flatten(1).amax(1).clamp(min=1e-6)[:, None, None]
    return [*chosen.unbind(1), best_alignment(alike.masked_fill(~there, -1e3))]
