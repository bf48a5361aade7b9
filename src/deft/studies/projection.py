"""Signals in the plane of two axes: principal axes, and projections on them."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from deft.errors import InvalidInput


def principal_axes(x: Float[Tensor, " draws *event"]) -> Float[Tensor, "2 dimensions"]:
    """The two directions in which signals vary most, as unit vectors; each points to where its
    largest entry is positive.
    """
    flat = x.flatten(1).double()
    if min(flat.shape) < 2:
        raise InvalidInput(
            f"two principal axes need at least two signals with two entries; got {tuple(x.shape)}."
        )
    axes = torch.linalg.svd(flat - flat.mean(0), full_matrices=False)[2][:2]
    result: Float[Tensor, "2 dimensions"] = (
        axes * axes.gather(1, axes.abs().argmax(1, keepdim=True)).sign()
    )
    return result


def projected(
    label: str, x: Tensor, centre: Tensor, axes: Float[Tensor, "2 dimensions"]
) -> Float[Tensor, "signals 2"]:
    """The places of signals on two axes, from `centre` on; an error speaks of them as `label`."""
    if x.flatten(1).shape[1] != len(centre) or axes.shape != (2, len(centre)):
        raise InvalidInput(
            f"signals of {len(centre)} entries are projected on axes of shape (2, {len(centre)}); "
            f"got {label} of shape {tuple(x.shape)} and axes "
            f"{tuple(axes.shape)}."
        )
    place: Float[Tensor, "signals 2"] = (x.flatten(1).double() - centre) @ axes.double().T
    return place
