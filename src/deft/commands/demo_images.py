"""The images of `deft demo`: photographs that ship, or the user's own, in three parts that train,
validate and test.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from deft.commands import inputs, photographs
from deft.commands.inputs import Convert, Fit
from deft.errors import InvalidInput
from deft.priors.base import Prior


def photograph_crops(prior: Prior, seed: int, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Crops of the photographs: those that train, validate and test."""
    train_crops = photographs.crops(photographs.TRAIN, count, prior.event_shape, seed)
    held_out = photographs.crops(photographs.VALIDATION, 64, prior.event_shape, seed + 1)
    return (
        train_crops,
        held_out,
        photographs.crops(photographs.TEST, 16, prior.event_shape, seed + 2, smallest=0.5),
    )


def own_images(
    folder: Path, prior: Prior, convert: Convert | None, fit: Fit | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Images of a folder, a part of which is kept to validate and to test."""
    found, _ = inputs.images(
        inputs.opened(folder, prior, convert=convert, fit=fit, value_range=None, strict=False)
    )
    if len(found) < 8:
        raise InvalidInput(
            f"{folder} holds {len(found)} images; the demo needs at least 8, of which a part is "
            "kept for the test."
        )
    order = torch.randperm(len(found), generator=torch.Generator().manual_seed(0))
    kept = max(2, min(16, len(found) // 8))
    return found[order[2 * kept :]], found[order[kept : 2 * kept]], found[order[:kept]]
