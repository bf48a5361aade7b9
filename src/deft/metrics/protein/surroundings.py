"""What a residue sees along its chain: a quick similarity of residues, for starts and candidates.

The features of residue i are |x_i - x_{i+s}| for s = 3, 5, 8, 12, 16, 24 in soft bins of 4
angstrom, and the cosine and sine of its torsion, which tells mirror images apart. They do not
change with rigid motions. The product of features says how alike two residues are; summed along
a placement of one chain on another without gaps, how alike the chains are there. These numbers
only choose where a search starts; they enter no measure.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from deft.metrics.protein.geometry import torsions
from deft.metrics.protein.traces import Present, Trace

_APART = (3, 5, 8, 12, 16, 24)
_BINS, _WIDTH = 8, 4.0
_AT_ONCE = 16


def surroundings(x: Trace, mask: Present) -> Tensor:
    """The features of residues: (chains, length, features) in single precision, 0 for padding."""
    length = x.shape[1]
    middle = torch.arange(_BINS, device=x.device) + 0.5
    found = [_hand(x, mask)]
    for apart in _APART:
        shorter = min(apart, length)
        distance = (x[:, shorter:] - x[:, : length - shorter]).norm(dim=-1) / _WIDTH
        bins = (1 - (distance.clamp(max=_BINS)[..., None] - middle).abs()).clamp(min=0)
        found.append(F.pad(bins * mask[:, shorter:, None], (0, 0, 0, shorter)))
    return torch.cat(found, -1).float()


def placed(x: Trace, mask: Present, z: Trace, z_mask: Present) -> tuple[Tensor, Tensor]:
    """How alike residues of each pair of chains are, (pairs, L_x, L_z), and the sums along
    placements: (pairs, L_x + L_z - 1), where residue i of x lies on residue i + k - (L_x - 1) of z.
    """
    alike = surroundings(x, mask) @ surroundings(z, z_mask).mT
    rows, columns = alike.shape[1:]
    # a row longer than the next by one place: diagonals become columns
    skewed = F.pad(alike.flip(1), (0, rows)).flatten(1)[:, : rows * (rows + columns - 1)]
    return alike, skewed.unflatten(1, (rows, rows + columns - 1)).sum(1)


def similarity(x: Trace, mask: Present, z: Trace, z_mask: Present) -> Tensor:
    """The largest sum along a placement of each chain on each other: (len(x), len(z))."""
    own, other = surroundings(x, mask), surroundings(z, z_mask)
    rows, columns = x.shape[1], z.shape[1]
    # all chains in one line, so far apart that a placement meets one of them
    line = F.pad(F.pad(other, (0, 0, 0, rows)).flatten(0, 1), (0, 0, rows, 0)).T[None]
    sums = torch.cat([F.conv1d(line, part.mT)[0] for part in own.split(_AT_ONCE)])
    each = rows + columns
    best: Tensor = sums[:, : len(z) * each].unflatten(1, (len(z), each)).amax(2)
    return best


def _hand(x: Trace, mask: Present) -> Tensor:
    angle, there = torsions(x, mask)
    angle = torch.deg2rad(angle)
    hand = torch.stack([angle.cos(), angle.sin()], -1) * there[..., None]
    return F.pad(hand, (0, 0, 1, 2))[:, : x.shape[1]]
