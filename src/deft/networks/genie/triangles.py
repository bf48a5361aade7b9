"""Updates of pair features by the third side of each triangle.

    z = norm(p),    a = sigmoid(W_ag z) W_ap z,    b = sigmoid(W_bg z) W_bp z
    outgoing  p_ij += sigmoid(W_g z_ij) W_z norm(sum_k a_ik b_jk)
    incoming  p_ij += sigmoid(W_g z_ij) W_z norm(sum_k a_ki b_kj)
    attention p_ij += W_o (sigmoid(W_g z_ij) sum_k softmax_k(q_ij k_ik / sqrt(c) + W_b z_jk) v_ik)

and the last one with rows and columns exchanged. Jumper et al. 2021 (AlphaFold 2), supplementary
algorithms 11 to 15; the order of Genie. The dropout of its training is left out: a prior is frozen.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, final

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from deft.networks.genie.sizes import Sizes


@final
class PairLayer(nn.Module):
    """Triangle updates, triangular attention where there is one, a transition."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        if sizes.multiplied:
            self.tri_mul_out = Multiplication(sizes.pair, sizes.multiplied, "bikc,bjkc->bijc")
            self.tri_mul_in = Multiplication(sizes.pair, sizes.multiplied, "bkic,bkjc->bijc")
        if sizes.attending:
            self.tri_att_start = TriangleAttention(sizes, transposed=False)
            self.tri_att_end = TriangleAttention(sizes, transposed=True)
        self.pair_transition = PairTransition(sizes.pair, sizes.pair_factor)

    if TYPE_CHECKING:
        __call__: Callable[..., Tensor]

    def forward(
        self,
        p: Float[Tensor, "batch residues residues pair"],
        pairs: Bool[Tensor, "batch residues residues"],
    ) -> Float[Tensor, "batch residues residues pair"]:
        for update in self.children():
            p = p + update(p, pairs)
        return p * pairs[..., None]


@final
class Multiplication(nn.Module):
    """The multiplicative update; `sides` says which sides of the triangle are multiplied."""

    def __init__(self, pair: int, hidden: int, sides: str) -> None:
        super().__init__()
        self.sides = sides
        self.linear_a_p, self.linear_a_g = nn.Linear(pair, hidden), nn.Linear(pair, hidden)
        self.linear_b_p, self.linear_b_g = nn.Linear(pair, hidden), nn.Linear(pair, hidden)
        self.linear_g, self.linear_z = nn.Linear(pair, pair), nn.Linear(hidden, pair)
        self.layer_norm_in, self.layer_norm_out = nn.LayerNorm(pair), nn.LayerNorm(hidden)

    if TYPE_CHECKING:
        __call__: Callable[..., Tensor]

    def forward(self, p: Tensor, pairs: Tensor) -> Tensor:
        z, there = self.layer_norm_in(p), pairs[..., None]
        a = there * self.linear_a_g(z).sigmoid() * self.linear_a_p(z)
        b = there * self.linear_b_g(z).sigmoid() * self.linear_b_p(z)
        update = self.linear_z(self.layer_norm_out(torch.einsum(self.sides, a, b)))
        result: Tensor = self.linear_g(z).sigmoid() * update
        return result


@final
class TriangleAttention(nn.Module):
    """Attention along the rows of p (or its columns), biased by the third side."""

    def __init__(self, sizes: Sizes, transposed: bool) -> None:
        super().__init__()
        self.transposed = transposed
        self.layer_norm = nn.LayerNorm(sizes.pair)
        self.linear = nn.Linear(sizes.pair, sizes.attending, bias=False)
        self.mha = GatedAttention(sizes.pair, sizes.attending, sizes.attended)

    if TYPE_CHECKING:
        __call__: Callable[..., Tensor]

    def forward(self, p: Tensor, pairs: Tensor) -> Tensor:
        p, pairs = (p.transpose(1, 2), pairs.transpose(1, 2)) if self.transposed else (p, pairs)
        z = self.layer_norm(p)
        absent = torch.zeros_like(p[..., 0]).masked_fill(~pairs, -1e9)
        bias = self.linear(z).permute(0, 3, 1, 2)[:, None] + absent[:, :, None, None]
        update = self.mha(z, bias)
        return update.transpose(1, 2) if self.transposed else update


@final
class GatedAttention(nn.Module):
    """Attention within each row of (batch, rows, places, width), each output through a gate."""

    def __init__(self, width: int, heads: int, head: int) -> None:
        super().__init__()
        self.heads = heads
        self.linear_q = nn.Linear(width, heads * head, bias=False)
        self.linear_k = nn.Linear(width, heads * head, bias=False)
        self.linear_v = nn.Linear(width, heads * head, bias=False)
        self.linear_o = nn.Linear(heads * head, width)
        self.linear_g = nn.Linear(width, heads * head)

    if TYPE_CHECKING:
        __call__: Callable[..., Tensor]

    def forward(self, z: Tensor, bias: Tensor) -> Tensor:
        q, k, v = (
            layer(z).unflatten(-1, (self.heads, -1)).transpose(2, 3)
            for layer in (self.linear_q, self.linear_k, self.linear_v)
        )
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        gated = self.linear_g(z).sigmoid() * mixed.transpose(2, 3).flatten(-2)
        result: Tensor = self.linear_o(gated)
        return result


@final
class PairTransition(nn.Module):
    """W_2 relu(W_1 norm(p)) at each pair that exists."""

    def __init__(self, pair: int, factor: int) -> None:
        super().__init__()
        self.layer_norm = nn.LayerNorm(pair)
        self.linear_1, self.linear_2 = (
            nn.Linear(pair, factor * pair),
            nn.Linear(factor * pair, pair),
        )

    if TYPE_CHECKING:
        __call__: Callable[..., Tensor]

    def forward(self, p: Tensor, pairs: Tensor) -> Tensor:
        result: Tensor = self.linear_2(self.linear_1(self.layer_norm(p)).relu()) * pairs[..., None]
        return result
