"""Frames along a chain, and distances in radial basis functions.

    a = unit(y_{i+1} - y_i),  b = unit(y_i - y_{i-1}),
    R_i = [unit(a + b), unit(a - b), unit(a + b) x unit(a - b)]

The third axis is a pseudo-vector: in a mirror image it points the other way, so that coordinates in
R_i tell a chain from its mirror image (Ingraham et al. 2019, graph-based protein design).
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def unit(v: Tensor) -> Tensor:
    """v / |v|, smooth at 0."""
    return v * torch.rsqrt(v.square().sum(-1, keepdim=True) + 1e-4)


def frames(
    y: Float[Tensor, "batch n 3"], mask: Bool[Tensor, "batch n"]
) -> Float[Tensor, "batch n 3 3"]:
    """R_i, the axes as columns; the first and the last residue have those of their neighbours."""
    step = unit(y[:, 1:] - y[:, :-1])
    a, b = step[:, 1:], step[:, :-1]
    along, bend = unit(a + b), unit(a - b)
    inner = torch.stack([along, bend, torch.cross(along, bend, dim=-1)], dim=-1)
    whole = torch.cat([inner[:, :1], inner, inner[:, -1:]], dim=1)
    last = mask.sum(1) - 1
    n = torch.arange(y.shape[1], device=y.device)
    source = torch.where(n == last[:, None], (last - 1).clamp(min=0)[:, None], n)
    return torch.gather(whole, 1, source[..., None, None].expand_as(whole))


def radial(d: Tensor, centres: Tensor) -> Tensor:
    """exp(-((d - c_k) / w_k)^2), w_k the distance to the next centre."""
    width = torch.cat([centres[1:] - centres[:-1], centres[-1:] - centres[-2:-1]])
    return torch.exp(-(((d[..., None] - centres) / width) ** 2))
