"""Rigid motions of points in space.

    (R, c) = argmin over det R = 1 of  sum_i w_i || R a_i + c - b_i ||^2
    H = sum_i w_i (a_i - a_mean)(b_i - b_mean)^T = U diag(s) V^T
    R = V diag(1, 1, det(V U^T)) U^T,    c = b_mean - R a_mean

(Kabsch 1976, doi:10.1107/S0567739476001873; 1978, doi:10.1107/S0567739478001680.) Mirror images are
never superposed: R is a proper rotation. Where points leave R open (one point, two, points on a
line) the one nearest to the identity is taken: H + tiny I is decomposed instead of H, which adds
tiny tr(R) to what is maximised. By the envelope theorem the derivative of the minimum with respect
to a and b is that at fixed R; none is taken through R.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from deft.errors import InvalidInput

_TINY = {torch.float64: 1e-9, torch.float32: 1e-5}  # above rounding errors, below any shape


@final
@dataclass(frozen=True)
class RigidMotion:
    """x -> R x + c, one for each entry of the leading axes."""

    rotation: Float[Tensor, "*batch 3 3"]
    translation: Float[Tensor, "*batch 3"]

    def __call__(
        self, points: Float[Tensor, "*batch points 3"]
    ) -> Float[Tensor, "*batch points 3"]:
        """R x + c of every point."""
        return points @ self.rotation.mT + self.translation[..., None, :]


def kabsch(
    moving: Float[Tensor, "*batch points 3"],
    fixed: Float[Tensor, "*batch points 3"],
    weights: Tensor | None = None,
) -> RigidMotion:
    """The rigid motion that brings `moving` nearest to `fixed`.

    `weights` (*batch, points), numbers >= 0 or a mask, say how much each pair of points counts; by
    default all count alike, and where none counts the motion is the identity. The rotation is found
    in double precision where the device has it and is a constant of the graph; the translation is
    on it. Raises `InvalidInput` for points that do not fit each other.
    """
    if moving.shape != fixed.shape or moving.ndim < 2 or moving.shape[-1] != 3:
        raise InvalidInput(
            "the points to superpose",
            given=f"the shapes {tuple(moving.shape)} and {tuple(fixed.shape)}",
            expected="two of one shape, (*batch, points, 3)",
        )
    w = _shares(moving, weights)
    centre, target = (w * moving).sum(-2), (w * fixed).sum(-2)
    with torch.no_grad():
        rotation = _rotation(moving - centre[..., None, :], fixed - target[..., None, :], w)
    counts = (w.sum(dim=(-2, -1)) > 0)[..., None]
    translation = target - (rotation @ centre[..., None])[..., 0]
    return RigidMotion(rotation, torch.where(counts, translation, torch.zeros_like(translation)))


def superposed(
    moving: Float[Tensor, "*batch points 3"],
    fixed: Float[Tensor, "*batch points 3"],
    weights: Tensor | None = None,
) -> Float[Tensor, "*batch points 3"]:
    """`moving`, after the rigid motion that brings it nearest to `fixed` (`kabsch`)."""
    return kabsch(moving, fixed, weights)(moving)


def _shares(points: Tensor, weights: Tensor | None) -> Tensor:
    """The weights, of sum 1 or 0, with an axis of one for the coordinates."""
    if weights is None:
        weights = points.new_ones(points.shape[:-1])
    if weights.shape != points.shape[:-1]:
        raise InvalidInput(
            "weights",
            given=f"the shape {tuple(weights.shape)}",
            expected=f"{tuple(points.shape[:-1])}, one number for each point",
        )
    weights = weights.to(points.dtype)
    total = weights.sum(-1, keepdim=True)
    return (weights / torch.where(total > 0, total, torch.ones_like(total)))[..., None]


def _rotation(a: Tensor, b: Tensor, w: Tensor) -> Tensor:
    """The proper rotation that takes centred points a nearest to b; the identity where they are not
    finite.
    """
    dtype = a.dtype
    precise = torch.float32 if a.device.type == "mps" else torch.float64
    a, b, w = a.to(precise), b.to(precise), w.to(precise)
    h = (w * a).mT @ b
    size = ((w * a * a).sum(dim=(-2, -1)) * (w * b * b).sum(dim=(-2, -1))).sqrt()
    tiny = _TINY[precise] * size + torch.finfo(precise).tiny
    h = h + tiny[..., None, None] * torch.eye(3, dtype=precise, device=h.device)
    finite = h.isfinite().all(-1).all(-1)[..., None, None]
    u, _, v_t = torch.linalg.svd(torch.where(finite, h, torch.eye(3).to(h)))
    last = torch.linalg.det(u @ v_t).sign()[..., None, None]
    proper = torch.cat([u[..., :2], u[..., 2:] * last], dim=-1)
    rotation: Tensor = (proper @ v_t).mT.to(dtype)
    return rotation
