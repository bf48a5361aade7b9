"""The layers of deft.networks.equivariant, over pairs of residues (deft.networks.pairs).

A block attends with a bias from the pairs, reads the local geometry, and gives every residue the
vectors sum_j s_ij (p_j - p_i) / (|p_j - p_i| + 1) along the chain, R_i u_i, and where it looks;
`OverPairs` gives those over all pairs that are seen. What a block adds is zero at its start.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, final

import torch
from torch import Tensor, nn
from torch.nn import functional

from deft.networks.frames import exact
from deft.networks.pairs import Pairs


@final
class _Attention(nn.Module):
    """Attention over the residues, biased by the pairs; it also gathers the pairs' features and
    where what it looks at lies, in the frame of who looks.
    """

    def __init__(self, width: int, heads: int, pair: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width + heads * (pair + 4), width)
        self.pull = nn.Linear(width, heads)

    if TYPE_CHECKING:
        __call__: Callable[..., tuple[Tensor, Tensor]]

    def forward(
        self, h: Tensor, bias: Tensor, z: Tensor, p: Tensor, axes: Tensor, over: Pairs
    ) -> tuple[Tensor, Tensor]:
        """h (b, n, c), bias (b, heads, n, k), z (b, n, k, pair) -> features, vectors (b, n, 3)."""
        b, n, c = h.shape
        q, k, v = self.qkv(h).reshape(b, n, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        weight = torch.softmax(over.scores(q, k) / math.sqrt(q.shape[-1]) + bias, dim=-1)
        values = over.sums(weight, v).transpose(1, 2).reshape(b, n, c)
        pairs = weight.transpose(1, 2) @ z  # (b, n, heads, pair)
        with exact(p):
            where = (
                over.sums(weight, p[:, None]).transpose(1, 2) - p[:, :, None]
            )  # (b, n, heads, 3)
            far = (where.square().sum(-1, keepdim=True) + 1e-4).sqrt()
            local = where @ axes / (far + 1)
        seen = torch.cat([pairs, local, (far / 10).log1p()], dim=-1).reshape(b, n, -1)
        vectors = (self.pull(h)[..., None] * where / (far + 1)).sum(2)
        return self.out(torch.cat([values, seen], dim=-1)), vectors


@final
class Block(nn.Module):
    """Attention, then a layer that also reads the local geometry, then what it adds to F."""

    def __init__(self, width: int, heads: int, pair: int, told: int, local: int, window: int):
        super().__init__()
        self.modulation = nn.Linear(told, 6 * width)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)
        self.attention = _Attention(width, heads, pair)
        self.of_features = nn.Linear(width, 2 * width)
        self.of_geometry = nn.Linear(local, 2 * width, bias=False)
        self.narrow = nn.Linear(2 * width, width)
        self.head = nn.Linear(width, 2 * window + 3)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        nn.init.zeros_(self.attention.pull.weight)
        nn.init.zeros_(self.attention.pull.bias)

    if TYPE_CHECKING:
        __call__: Callable[..., tuple[Tensor, Tensor]]

    def forward(
        self,
        h: Tensor,
        told: Tensor,
        bias: Tensor,
        z: Tensor,
        p: Tensor,
        axes: Tensor,
        local: Tensor,
        directions: Tensor,
        over: Pairs,
    ) -> tuple[Tensor, Tensor]:
        m = self.modulation(told)[:, None].chunk(6, dim=-1)
        shape = h.shape[-1:]
        seen, pulled = self.attention(
            functional.layer_norm(h, shape) * (1 + m[0]) + m[1], bias, z, p, axes, over
        )
        h = h + (1 + m[2]) * seen
        normal = functional.layer_norm(h, shape) * (1 + m[3]) + m[4]
        h = h + (1 + m[5]) * self.narrow(
            functional.gelu(self.of_features(normal) + self.of_geometry(local), approximate="tanh")
        )
        numbers = self.head(functional.layer_norm(h, shape))
        s, u = numbers[..., :-3], numbers[..., -3:]
        chain = (s[..., None] * directions).sum(2)
        return h, chain + pulled + (axes @ u[..., None])[..., 0]


@final
class OverPairs(nn.Module):
    """sum_j s_ij (p_j - p_i) / (|p_j - p_i| + 1), s_ij from where both are now."""

    def __init__(self, width: int, pair: int, geometry: int) -> None:
        super().__init__()
        self.from_i = nn.Linear(width, pair)
        self.from_j = nn.Linear(width, pair, bias=False)
        self.from_both = nn.Linear(geometry, pair, bias=False)
        self.strength = nn.Linear(pair, 1)
        nn.init.zeros_(self.strength.weight)
        nn.init.zeros_(self.strength.bias)

    if TYPE_CHECKING:
        __call__: Callable[..., Tensor]

    def forward(
        self, h: Tensor, z: Tensor, p: Tensor, d: Tensor, geometry: Tensor, over: Pairs
    ) -> Tensor:
        """Vectors (b, n, 3) of features h, pairs z and positions p, at the distances d."""
        both = z + self.from_both(geometry) + self.from_i(h)[:, :, None]
        both = both + over.other(self.from_j(h))
        hidden = functional.gelu(both, approximate="tanh")
        s = self.strength(hidden)[..., 0] / (d + 1) * over.weight
        with exact(p):
            moved: Tensor = over.sums(s[:, None], p[:, None])[:, 0] - s.sum(-1, keepdim=True) * p
        return moved
