"""What a training run evaluates beforehand, its bank, and what its slopes need."""

from __future__ import annotations

from pathlib import Path

import torch

from deft.errors import InvalidInput
from deft.htransforms.base import HTransform
from deft.htransforms.calibrated import Calibrated
from deft.priors.base import Prior
from deft.training.bank import Bank
from deft.training.denoising import TimeLaw
from deft.training.sources import Source


def bank_of(
    prior: Prior, images: Source, evaluations: int, times: TimeLaw | None, seed: int, folder: Path
) -> Bank:
    """The bank of a run: of several processes the first one builds it, and the others open what it
    wrote.
    """
    from accelerate import PartialState

    together = PartialState(cpu=not torch.accelerator.is_available())  # as training does
    made = (
        Bank.build(prior, images, evaluations, times, seed=seed, out=folder)
        if together.is_main_process
        else None
    )
    together.wait_for_everyone()
    return Bank.open(folder, prior) if made is None else made


def check_slopes(slopes: int, images: int, learned: HTransform, prior: Prior) -> None:
    """Raise before the training, not after it."""
    if min(slopes, images) < 2:
        raise InvalidInput(
            f"--slopes measures on two training images or more, 32 say; got {slopes}, with "
            f"{images} images to train on."
        )
    Calibrated(learned, prior.event_shape, low=0.0, high=1.0)
