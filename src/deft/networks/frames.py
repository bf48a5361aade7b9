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


def exact(x: Tensor) -> torch.autocast:
    """No half precision within: positions of chains are known to a hundredth of an angstrom."""
    return torch.autocast(x.device.type, enabled=False)


def radial(d: Tensor, centres: Tensor) -> Tensor:
    """exp(-((d - c_k) / w_k)^2), w_k the distance to the next centre."""
    width = torch.cat([centres[1:] - centres[:-1], centres[-1:] - centres[-2:-1]])
    return torch.exp(-(((d[..., None] - centres) / width) ** 2))


def between(
    p: Float[Tensor, "batch n 3"], axes: Float[Tensor, "batch n 3 3"], centres: Float[Tensor, " k"]
) -> tuple[Float[Tensor, "batch n n"], Float[Tensor, "batch n n features"]]:
    """Distances of all pairs, and their invariants: distances in radial functions, and the
    directions R_i^T (p_j - p_i) / (d + 1) and R_j^T (p_i - p_j) / (d + 1).
    """
    b, n = p.shape[:2]
    square = p.square().sum(-1)
    with exact(p):
        inner = p @ p.mT
        seen = (axes.mT.reshape(b, 3 * n, 3) @ p.mT).reshape(b, n, 3, n)  # R_i^T p_j
    d = square[:, :, None] + square[:, None] - 2 * inner
    d = (d.clamp(min=0.0) + 1e-6).sqrt()
    own = seen.diagonal(dim1=1, dim2=3).mT  # R_i^T p_i
    near = (seen - own[..., None]) / (d[:, :, None] + 1)
    features = [radial(d, centres), near.transpose(2, 3), near.permute(0, 3, 1, 2)]
    return d, torch.cat(features, dim=-1)
