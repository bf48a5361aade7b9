"""A body for point clouds that are chains: equivariant to rotations, moves and not to mirrors.

    F(y) in R^{n x 3},    F(R y + c) = R F(y)    for every rotation R and every move c

It reads positions y, invariant features of residues and of pairs, and a few numbers per signal.
Every residue i carries a frame from its two neighbours,

    a = unit(y_{i+1} - y_i),  b = unit(y_i - y_{i-1}),
    R_i = [unit(a + b), unit(a - b), unit(a + b) x unit(a - b)]

whose third axis is a pseudo-vector: coordinates in R_i tell a chain from its mirror image. What the
layers see are invariants only: distances in radial basis functions, directions R_i^T (y_j - y_i)
and relative frames R_i^T R_j of all pairs, and the coordinates in R_i of the residues within
`window` along the chain. Each of the `blocks` attends with a bias from the pairs, and adds to F

    o_i = sum_j s_ij (p_j - p_i) / (|p_j - p_i| + 1) + R_i u_i

with s_ij and u_i from the features: along the chain in every block, over all pairs in the last two.
The next block sees the chain as it is by then, p = y + C F with a given linear map C along the
chain (the spread of what y leaves open), so that bonds are corrected in several rounds.

With `nearest` = k every residue sees the k that are nearest in y alone (deft.networks.pairs): n k
pairs in place of n^2, what most of the time goes into.

The frames and the local coordinates are those of Ingraham et al. 2019 (graph-based protein design)
and of Lin & AlQuraishi 2023, arXiv:2301.12485; the vector head is that of Satorras et al. 2021,
arXiv:2102.09844, eq. 4, with signed weights from an attention body.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, final

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from deft import checks
from deft.errors import InvalidInput
from deft.networks.equivariant_layers import Block, OverPairs
from deft.networks.frames import exact, frames, radial
from deft.networks.mlp import ScalarFeatures
from deft.networks.pairs import AllPairs, NearestPairs, Pairs

_FAR = 32  # relative positions beyond it are one
_END = 16  # residues further from an end do not know how far


@final
class EquivariantBody(nn.Module):
    """Positions of chains -> one vector per residue, equivariant to rotations; zero at its start.

    `numbers` per signal are told to every layer, `singles` and `pairs` are the numbers of
    invariant features that the caller adds; `width`, `blocks`, `heads`, `pair`, `window`
    and `told` size it; `nearest` is how many residues each one sees, all by default.
    """

    window_centres: Tensor
    pair_centres: Tensor

    def __init__(
        self,
        numbers: int,
        *,
        singles: int = 0,
        pairs: int = 0,
        width: int = 96,
        blocks: int = 4,
        heads: int = 6,
        pair: int = 32,
        window: int = 8,
        told: int = 64,
        nearest: int | None = None,
    ) -> None:
        super().__init__()
        if nearest is not None:
            checks.whole("nearest", nearest, most=4096, meaning="residues that each one sees")
        self.nearest = nearest
        for name, value in {
            "width": width,
            "blocks": blocks,
            "heads": heads,
            "pair": pair,
            "window": window,
            "told": told,
        }.items():
            checks.whole(name, value, most=4096, meaning="the size of the network")
        if width % heads:
            raise InvalidInput("heads", given=heads, expected=f"a divisor of the width {width}")
        self.window, self.heads, self.blocks = window, heads, blocks
        self.numbers = ScalarFeatures(numbers)
        self.told = nn.Sequential(
            nn.Linear(self.numbers.width, told), nn.SiLU(), nn.Linear(told, told), nn.SiLU()
        )
        self.register_buffer("window_centres", torch.arange(8) * 1.25 + 2.5, persistent=False)
        self.register_buffer(
            "pair_centres",
            torch.tensor([2.0, 3.0, 4, 5, 6, 7, 8, 10, 12, 15, 19, 24, 30, 40]),
            persistent=False,
        )
        local = 2 * window * (4 + len(self.window_centres))
        self.first = nn.Linear(told + singles + local, width)
        self.ends = nn.Parameter(0.1 * torch.randn(2, _END + 1, width))
        self.pair_in = nn.Linear(len(self.pair_centres) + 15 + pairs, pair)
        self.pair_told = nn.Linear(told, pair)
        self.apart = nn.Parameter(0.3 * torch.randn(2 * _FAR + 1, pair))
        self.pair_out = nn.Linear(pair, pair)
        self.bias = nn.Linear(pair, heads * blocks)
        self.layers = nn.ModuleList(
            Block(width, heads, pair, told, local, window) for _ in range(blocks)
        )
        self.over_pairs = nn.ModuleList(
            OverPairs(width, pair, len(self.pair_centres) + 6) for _ in range(min(blocks, 2))
        )

    if TYPE_CHECKING:
        __call__: Callable[..., Tensor]

    def forward(
        self,
        y: Float[Tensor, "batch n 3"],
        mask: Bool[Tensor, "batch n"],
        numbers: Float[Tensor, "batch numbers"],
        colour: Float[Tensor, "batch n n"] | None = None,
        singles: Float[Tensor, "batch n singles"] | None = None,
        pairs: Float[Tensor, "batch n k pairs"] | None = None,
        over: Pairs | None = None,
    ) -> Float[Tensor, "batch n 3"]:
        """F; `mask` says which residues exist, from the first one on, `colour` is C; `pairs` are of
        those that `over` says, by default `self.over(y, mask)`.
        """
        over = self.over(y, mask) if over is None else over
        told = self.told(self.numbers(numbers))
        axes = frames(y, mask)
        local, directions = self._local(y, axes, mask)
        given = [told[:, None].expand(-1, y.shape[1], -1), local]
        h = self.first(torch.cat(given if singles is None else [*given, singles], dim=-1))
        h = h + self._from_ends(mask)
        total, centres = torch.zeros_like(y), self.pair_centres.to(y)
        d, geometry = over.between(y, axes, centres)
        z = self._pairs(geometry, axes, told, pairs, over)
        bias = self.bias(z).movedim(-1, 1).unflatten(1, (self.blocks, self.heads))
        bias = bias + over.bias[:, None]
        p = y
        for k, block in enumerate(self.layers):
            if k:
                axes = frames(p, mask)
                local, directions = self._local(p, axes, mask)
            h, vectors = block(h, told, bias[:, k], z, p, axes, local, directions, over)
            total = total + vectors
            left = self.blocks - k
            if left <= len(self.over_pairs):
                if k:
                    d, geometry = over.between(p, axes, centres)
                total = total + self.over_pairs[-left](h, z, p, d, geometry, over)
            if left > 1:
                with exact(y):
                    p = y + (total if colour is None else colour @ total)
        return total * mask[..., None]

    def _from_ends(self, mask: Tensor) -> Tensor:
        """What a residue knows of how far the ends are."""
        n = torch.arange(mask.shape[1], device=mask.device)
        after = (mask.sum(1, keepdim=True) - 1 - n).clamp(0, _END)
        return self.ends[0][n.clamp(max=_END)] + self.ends[1][after]

    def _local(self, p: Tensor, axes: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Coordinates in R_i and distances of the residues within `window`, (b, n, local), and
        their directions (b, n, 2 window, 3); zero where there is none.
        """
        w, n = self.window, p.shape[1]
        steps = torch.tensor([*range(-w, 0), *range(1, w + 1)], device=p.device)
        at = torch.arange(n, device=p.device)[:, None] + steps
        inside = (at >= 0) & (at < n)
        at = at.clamp(0, n - 1)
        there = (mask[:, at] & inside & mask[:, :, None])[..., None].to(p)
        apart = (p[:, at] - p[:, :, None]) * there  # (b, n, 2 w, 3)
        d = (apart.square().sum(-1) + 1e-6).sqrt()
        typical = (3.8 * steps.abs() ** 0.6).to(p)[:, None]
        with exact(p):
            turned = apart @ axes / typical
        features = [
            turned,
            d[..., None] / typical * there,
            radial(d, self.window_centres.to(p)) * there,
        ]
        return torch.cat(features, dim=-1).flatten(2), apart / (d[..., None] + 1)

    def over(self, y: Float[Tensor, "batch n 3"], mask: Bool[Tensor, "batch n"]) -> Pairs:
        """The pairs of residues that the layers see."""
        return AllPairs(mask, y) if self.nearest is None else NearestPairs(y, mask, self.nearest)

    def _pairs(
        self, geometry: Tensor, axes: Tensor, told: Tensor, pairs: Tensor | None, over: Pairs
    ) -> Tensor:
        """Features of pairs, (b, n, k, pair)."""
        given = [geometry, over.turned(axes)]
        given = given if pairs is None else [*given, pairs]
        relative = self.apart[over.apart().clamp(-_FAR, _FAR) + _FAR]
        z = self.pair_in(torch.cat(given, dim=-1))
        z = functional.gelu(z + relative + self.pair_told(told)[:, None, None], approximate="tanh")
        result: Tensor = self.pair_out(z)
        return result
