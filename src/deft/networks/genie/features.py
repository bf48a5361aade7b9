"""What Genie's network reads: the place of a residue and the entry of the schedule as sines and
cosines, and for each pair their distance along the chain and in space.

    s_i  = W [wave(i; L), wave(k; T)]
    p_ij = W_i s_i + W_j s_j + W_r onehot(clamp(i - j, -K, K)) + W_d |x_i - x_j|
    wave(v; N)_d = cos(pi v / N^(2 d / D)),  d even;    sin(pi v / N^(2 (d + 1) / D)),  d odd

with d = 0 .. D - 1. L is the length of the *padded* chain: the waves of a residue are others where
a chain is padded to another length, so that a network has to see the length that it was trained
with. Distances are in angstrom. Lin & AlQuraishi 2023, arXiv:2301.12485, section 3.2.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from deft.networks.genie.sizes import Sizes


@final
class SingleFeatures(nn.Module):
    """The entry of the schedule, one per chain, and which residues exist -> s."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.place, self.time, self.entries = sizes.place, sizes.time, sizes.entries
        self.linear = nn.Linear(sizes.place + sizes.time, sizes.single)

    if TYPE_CHECKING:
        __call__: Callable[..., Tensor]

    def forward(
        self, entry: Int[Tensor, " batch"], mask: Bool[Tensor, "batch residues"]
    ) -> Float[Tensor, "batch residues single"]:
        residues = mask.shape[1]
        places = waves(torch.arange(residues, device=entry.device), residues, self.place)
        times = waves(entry, self.entries, self.time)
        both = [places.expand(len(entry), -1, -1), times[:, None].expand(-1, residues, -1)]
        told = torch.cat(both, dim=-1) * mask[..., None]
        result: Tensor = self.linear(told.to(self.linear.weight.dtype))
        return result


@final
class PairFeatures(nn.Module):
    """s and positions -> p."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.reach = sizes.reach
        self.linear_s_p_i = nn.Linear(sizes.single, sizes.pair)
        self.linear_s_p_j = nn.Linear(sizes.single, sizes.pair)
        self.linear_relpos = nn.Linear(2 * sizes.reach + 1, sizes.pair)
        self.linear_template = nn.Linear(1, sizes.pair)

    if TYPE_CHECKING:
        __call__: Callable[..., Tensor]

    def forward(
        self,
        s: Float[Tensor, "batch residues single"],
        x: Float[Tensor, "batch residues 3"],
        pairs: Bool[Tensor, "batch residues residues"],
    ) -> Float[Tensor, "batch residues residues pair"]:
        place = torch.arange(x.shape[1], device=x.device)
        apart = (place[:, None] - place).clamp(-self.reach, self.reach) + self.reach
        along = self.linear_relpos(F.one_hot(apart, 2 * self.reach + 1).to(s))
        between = x[:, :, None] - x[:, None]
        distance = (between.square().sum(-1, keepdim=True) + _TINY).sqrt()
        p = self.linear_s_p_i(s)[:, :, None] + self.linear_s_p_j(s)[:, None]
        result: Tensor = (p + along + self.linear_template(distance)) * pairs[..., None]
        return result


_TINY = 1e-10  # square angstrom, where the root has a derivative


def waves(v: Tensor, period: int, width: int) -> Tensor:
    """Sines and cosines of numbers: (*many,) -> (*many, width), in single precision."""
    d = torch.arange(width, device=v.device)
    slower = period ** (2 * (d + d % 2) / width)
    angle = v.float()[..., None] * math.pi / slower
    return torch.where(d % 2 == 0, angle.cos(), angle.sin())
