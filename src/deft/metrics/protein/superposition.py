"""How far two structures of the same residues are apart.

    RMSD      min over rotations R and shifts c of  sqrt(mean |R x_i + c - z_i|^2)
    lDDT(x)   mean over residues i of z of the share of |x_i - x_j| within 0.5, 1, 2, 4 of
              |z_i - z_j|, over the residues j != i with |z_i - z_j| < 15

The rotation is proper (`deft.geometry.kabsch`). lDDT is that of Mariani et al. 2013,
doi:10.1093/bioinformatics/btt473, on C-alphas; it does not superpose, and cannot tell mirror images
apart.
"""

from __future__ import annotations

import torch
from torch import Tensor

from deft.errors import InvalidInput
from deft.geometry import superposed
from deft.metrics.protein.traces import Present, Trace, checked, mean_over

HELD = 1.0
"""Angstrom of RMSD in each group, below which a motif is held."""

_NEAR, _THRESHOLDS = 15.0, (0.5, 1.0, 2.0, 4.0)


def rmsd(x: Trace, z: Trace, mask: Present | None = None) -> Tensor:
    """The RMSD of each pair of chains in angstrom."""
    x, z, mask = pair(x, z, mask)
    return mean_over((superposed(x, z, mask.double()) - z).square().sum(-1), mask).sqrt()


def motif_rmsd(x: Trace, index: Tensor, group: Tensor, motif: Tensor) -> Tensor:
    """The RMSD of each group of a motif in angstrom, each superposed by itself: (chains, groups).

    `index` (chains, motif) are the residues of x that hold the motif, -1 where a motif has fewer
    residues than others of the batch, `group` (chains, motif) its groups 0, 1, ..., `motif`
    (chains, motif, 3) its coordinates, each group in any frame. One of each may stand for all
    chains. Not a number for groups of which a chain has one residue, which fits anywhere, or none.
    """
    x, _ = checked(x, None)
    index, group, motif = (
        (part if part.dim() == axes else part[None]).expand(len(x), *part.shape[1 - axes :])
        for part, axes in ((index, 2), (group, 2), (motif, 3))
    )
    if not index.shape == group.shape == motif.shape[:2] or motif.shape[2:] != (3,):
        raise InvalidInput(
            "motif",
            given=f"index {tuple(index.shape)}, group {tuple(group.shape)}, coordinates "
            f"{tuple(motif.shape)}",
            expected="(chains, residues) twice, and (chains, residues, 3)",
        )
    there = index >= 0
    if bool((index >= x.shape[1]).any()):
        raise InvalidInput(
            "index",
            given=int(index.max()),
            expected=f"residues 0 to {x.shape[1] - 1} of the chain",
        )
    held = x.gather(1, index.clamp(min=0)[..., None].expand(-1, -1, 3))
    motif = motif.double().masked_fill(~there[..., None], 0.0)
    found = []
    for one in range(int(group.max()) + 1 if group.numel() else 0):
        own = (group == one) & there
        moved = superposed(motif, held, own.double())
        off = mean_over((moved - held).square().sum(-1), own).sqrt()
        found.append(off.masked_fill(own.sum(1) < 2, torch.nan))
    return torch.stack(found, 1) if found else x.new_zeros(len(x), 0)


def largest_group(found: Tensor) -> Tensor:
    """Of the RMSDs of groups (chains, groups) the largest of each chain: (chains,), not a number
    where no group has one.
    """
    if not found.shape[1]:
        return found.new_full((len(found),), torch.nan)
    worst = found.nan_to_num(-torch.inf).amax(1)
    return worst.masked_fill(worst.isinf(), torch.nan)


def lddt(x: Trace, reference: Trace, mask: Present | None = None) -> Tensor:
    """The lDDT of each chain against its reference, in [0, 1]: the mean over residues that have
    neighbours.
    """
    x, z, mask = pair(x, reference, mask)
    wanted, got = torch.cdist(z, z), torch.cdist(x, x)
    place = torch.arange(x.shape[1], device=x.device)
    near = (wanted < _NEAR) & (place[:, None] != place[None, :]) & mask[:, None] & mask[:, :, None]
    off = (wanted - got).abs()
    kept = torch.stack([off < threshold for threshold in _THRESHOLDS]).double().mean(0)
    count = near.sum(2)
    own = (kept * near).sum(2) / count.clamp(min=1)
    return mean_over(own, count > 0)


def pair(x: Tensor, z: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Two batches of the same residues, checked."""
    if x.shape != z.shape:
        raise InvalidInput(
            "chains that are compared residue by residue",
            given=f"shapes {tuple(x.shape)} and {tuple(z.shape)}",
            expected="the same shape",
        )
    x, mask = checked(x, mask)
    return x, checked(z, mask, "the reference")[0], mask
