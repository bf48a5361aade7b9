"""One structure layer: attention between the frames of residues, and a move of each frame.

    logit_ij = q_i k_j / sqrt(3 c) + sqrt(1/3) (W_b p)_ij
               - 1/2 softplus(w) sqrt(2 / (27 P)) sum_p |T_i q_ip - T_j k_jp|^2
    s_i     += W [sum_j a_ij v_j, T_i^-1 sum_j a_ij T_j v_jp, its lengths, sum_j a_ij p_ij]

for each head, with a = softmax(logit) over the residues that exist, P query points and T_i the
frame of residue i in angstrom. Invariant point attention, Jumper et al. 2021 (AlphaFold 2),
supplementary algorithms 22 and 23. Nothing in s changes where the chain is rotated or moved, so
that the frames move with it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, final

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from deft.networks.genie.frames import Frames
from deft.networks.genie.sizes import Sizes

_ABSENT = -1e5
_TINY = 1e-8  # square angstrom, where a length has a derivative


@final
class StructureLayer(nn.Module):
    """(s, frames), p -> (s, frames)."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.ipa = PointAttention(sizes)
        self.ipa_layer_norm = nn.LayerNorm(sizes.single)
        self.transition = Transition(sizes.single, sizes.transitions)
        self.bb_update = BackboneUpdate(sizes.single)

    if TYPE_CHECKING:
        __call__: Callable[..., tuple[Tensor, Frames]]

    def forward(
        self,
        s: Float[Tensor, "batch residues single"],
        p: Float[Tensor, "batch residues residues pair"],
        frames: Frames,
        pairs: Bool[Tensor, "batch residues residues"],
    ) -> tuple[Tensor, Frames]:
        s = self.transition(self.ipa_layer_norm(s + self.ipa(s, p, frames, pairs)))
        return s, frames.moved(*self.bb_update(s))


@final
class PointAttention(nn.Module):
    """Invariant point attention."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.heads, self.head = sizes.heads, sizes.head
        self.queries, self.values = sizes.query_points, sizes.value_points
        width, points = sizes.single, sizes.query_points + sizes.value_points
        self.head_weights = nn.Parameter(torch.full((self.heads,), math.log(math.e - 1)))
        self.linear_q = nn.Linear(width, self.heads * self.head)
        self.linear_kv = nn.Linear(width, 2 * self.heads * self.head)
        self.linear_q_points = nn.Linear(width, 3 * self.heads * self.queries)
        self.linear_kv_points = nn.Linear(width, 3 * self.heads * points)
        self.linear_b = nn.Linear(sizes.pair, self.heads)
        told = self.heads * (self.head + 4 * self.values + sizes.pair)
        self.linear_out = nn.Linear(told, width)

    if TYPE_CHECKING:
        __call__: Callable[..., Tensor]

    def forward(self, s: Tensor, p: Tensor, frames: Frames, pairs: Tensor) -> Tensor:
        q = self.linear_q(s).unflatten(-1, (self.heads, self.head))
        k, v = self.linear_kv(s).unflatten(-1, (self.heads, 2 * self.head)).chunk(2, dim=-1)
        q_points = frames.out(self._points(self.linear_q_points(s)))
        kv_points = frames.out(self._points(self.linear_kv_points(s)))
        k_points, v_points = kv_points.split([self.queries, self.values], dim=-2)
        attention = self._attention(q, k, q_points, k_points, self.linear_b(p), pairs)
        near = frames.into(torch.einsum("bhij,bjhpx->bihpx", attention, v_points)).flatten(2, 3)
        told = [
            torch.einsum("bhij,bjhc->bihc", attention, v).flatten(2),
            *near.unbind(-1),
            (near.square().sum(-1) + _TINY).sqrt(),
            torch.einsum("bhij,bijc->bihc", attention, p).flatten(2),
        ]
        result: Tensor = self.linear_out(torch.cat(told, dim=-1))
        return result

    def _points(self, numbers: Tensor) -> Tensor:
        """Numbers in three blocks, x, y and z, as points: (batch, residues, heads, points, 3)."""
        points = torch.stack(numbers.chunk(3, dim=-1), dim=-1)
        result: Tensor = points.unflatten(-2, (self.heads, -1))
        return result

    def _attention(
        self, q: Tensor, k: Tensor, q_points: Tensor, k_points: Tensor, bias: Tensor, pairs: Tensor
    ) -> Float[Tensor, "batch heads residues residues"]:
        apart = q_points[:, :, None] - k_points[:, None]
        weight = F.softplus(self.head_weights) * math.sqrt(2 / (27 * self.queries))
        logit = (
            torch.einsum("bihc,bjhc->bijh", q, k) / math.sqrt(3 * self.head)
            + math.sqrt(1 / 3) * bias
            - 0.5 * weight * apart.square().sum((-2, -1))
        )
        logit = logit.permute(0, 3, 1, 2)
        result: Tensor = (logit + _ABSENT * (~pairs)[:, None].to(logit)).softmax(-1)
        return result


@final
class Transition(nn.Module):
    """Three layers with a skip, as often as said, and a normalisation."""

    def __init__(self, width: int, count: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(*(_Skip(width) for _ in range(count)))
        self.layer_norm = nn.LayerNorm(width)

    if TYPE_CHECKING:
        __call__: Callable[..., Tensor]

    def forward(self, s: Tensor) -> Tensor:
        result: Tensor = self.layer_norm(self.layers(s))
        return result


@final
class _Skip(nn.Module):
    """s + W_3 relu(W_2 relu(W_1 s))."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear_1, self.linear_2 = nn.Linear(width, width), nn.Linear(width, width)
        self.linear_3 = nn.Linear(width, width)

    if TYPE_CHECKING:
        __call__: Callable[..., Tensor]

    def forward(self, s: Tensor) -> Tensor:
        result: Tensor = s + self.linear_3(self.linear_2(self.linear_1(s).relu()).relu())
        return result


@final
class BackboneUpdate(nn.Module):
    """How each frame turns (the last three numbers of a quaternion) and moves, in angstrom."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, 6)

    if TYPE_CHECKING:
        __call__: Callable[..., tuple[Tensor, Tensor]]

    def forward(self, s: Tensor) -> tuple[Tensor, Tensor]:
        turn, by = self.linear(s).chunk(2, dim=-1)
        return turn, by
