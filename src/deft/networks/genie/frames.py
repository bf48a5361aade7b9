"""A frame at each residue of a chain, from its C-alpha positions alone.

    t_i = (x_{i+1} - x_i) / |x_{i+1} - x_i|
    b_i = t_{i-1} x t_i / |t_{i-1} x t_i|,    n_i = b_i x t_i
    R_i = [t_i, b_i, n_i] as columns,    the origin of frame i is x_i

The discrete Frenet frames of Hu et al. 2011, as Genie uses them (Lin & AlQuraishi 2023,
arXiv:2301.12485, section 3.1). The two ends of a chain have the frame of their neighbour, and
padding has none (the identity). t x b = -n, so that R_i is orthogonal with determinant -1; the
published weights were trained with these left-handed frames. A rotation of the chain rotates every
frame. The frames of its mirror image are not the mirror images of its frames, which is how a
network that reads frames tells right from left.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from deft.geometry import rotations

_TINY = 1e-10  # square angstrom: the squared length of a vector that has no direction


@final
@dataclass(frozen=True)
class Frames:
    """Orthogonal matrices (batch, residues, 3, 3) and origins (batch, residues, 3)."""

    rotation: Float[Tensor, "batch residues 3 3"]
    origin: Float[Tensor, "batch residues 3"]

    def out(self, points: Float[Tensor, "batch residues *many 3"]) -> Tensor:
        """Points in the frame of their residue, in the coordinates of the chain: R p + x."""
        rotated = torch.einsum("bixy,bi...y->bi...x", self.rotation, points)
        return rotated + self._origin(points)

    def into(self, points: Float[Tensor, "batch residues *many 3"]) -> Tensor:
        """Points in the coordinates of the chain, in the frame of a residue: R^T (p - x)."""
        return torch.einsum("biyx,bi...y->bi...x", self.rotation, points - self._origin(points))

    def moved(
        self, turn: Float[Tensor, "batch residues 3"], by: Float[Tensor, "batch residues 3"]
    ) -> Frames:
        """Each frame turned and moved within itself: R Q, R m + x, with Q the rotation of the
        quaternion (1, turn) / |(1, turn)|.
        """
        return Frames(self.rotation @ rotation_of(turn), self.out(by))

    def _origin(self, points: Tensor) -> Tensor:
        batch, residues = self.origin.shape[:2]
        return self.origin.reshape(batch, residues, *(1,) * (points.ndim - 3), 3)


def frenet(
    x: Float[Tensor, "batch residues 3"], mask: Bool[Tensor, "batch residues"]
) -> Float[Tensor, "batch residues 3 3"]:
    """The matrices of the frames of chains whose residues stand first, padding after them; of
    at least 3 residues each.
    """
    tangent = _unit(x[:, 1:] - x[:, :-1])
    binormal = _unit(torch.linalg.cross(tangent[:, :-1], tangent[:, 1:], dim=-1))
    normal = torch.linalg.cross(binormal, tangent[:, 1:], dim=-1)
    inner = torch.stack([tangent[:, 1:], binormal, normal], dim=-1)
    place = torch.arange(x.shape[1], device=x.device).expand(mask.shape)
    last = mask.sum(1, keepdim=True) - 2
    nearest = torch.minimum(place.clamp(min=1), last.clamp(min=1)) - 1
    rotation = inner.gather(1, nearest[..., None, None].expand(-1, -1, 3, 3))
    return torch.where(mask[..., None, None], rotation, torch.eye(3).to(x))


def rotation_of(turn: Float[Tensor, "*many 3"]) -> Float[Tensor, "*many 3 3"]:
    """The rotation of the quaternion (1, b, c, d) / sqrt(1 + b^2 + c^2 + d^2)."""
    return rotations(torch.cat([torch.ones_like(turn[..., :1]), turn], dim=-1))


def _unit(v: Tensor) -> Tensor:
    return v / (v.square().sum(-1, keepdim=True) + _TINY).sqrt()
