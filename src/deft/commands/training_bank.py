"""What a training run evaluates beforehand, its bank or one that is there already, and what its
slopes need.
"""

from __future__ import annotations

from pathlib import Path

import torch

from deft.errors import CheckpointError, InvalidInput
from deft.htransforms.base import HTransform, stays
from deft.htransforms.calibrated import Calibrated
from deft.priors.base import Prior
from deft.storage.claims import differences
from deft.training.bank import Bank
from deft.training.denoising import TimeLaw
from deft.training.entries import check_room
from deft.training.sources import Source


def bank_of(
    prior: Prior,
    images: Source,
    bank: int | Path,
    times: TimeLaw | None,
    seed: int,
    folder: Path,
) -> Bank:
    """The bank of a run, of so many evaluations or in a folder: of several processes the first one
    builds it, and the others open what it wrote.
    """
    if isinstance(bank, Path):
        return Bank.open(bank, prior)
    from accelerate import PartialState

    together = PartialState(cpu=not torch.accelerator.is_available())  # as training does
    made = (
        Bank.build(prior, images, bank, times, seed=seed, out=folder)
        if together.is_main_process
        else None
    )
    together.wait_for_everyone()
    return Bank.open(folder, prior) if made is None else made


def check_bank(
    bank: int | Path, learned: HTransform, prior: Prior, images: Source, out: Path
) -> TimeLaw | None:
    """Raise before the training where a bank cannot be used; the times of one that is there.

    A bank in a folder must hold evaluations of these images: those that are held out are then none
    of its own.
    """
    if not bank:
        return None
    stays(learned, "--bank", "leave --bank out: it holds what the prior says of x_t")
    if not isinstance(bank, Path):
        check_room(bank, prior.event_shape, out)
        return None
    found = Bank.open(bank, prior)
    different = differences(found.data, images.card())
    if different:
        raise CheckpointError(
            f"the bank in {bank} was made of other images than those to train on: "
            f"{'; '.join(one.was for one in different)}",
            advice="give --images, --validation_share, --seed and --flip as they were given to "
            "deft bank",
        )
    return found.times


def check_slopes(slopes: int, images: int, learned: HTransform, prior: Prior) -> None:
    """Raise before the training, not after it."""
    if min(slopes, images) < 2:
        raise InvalidInput(
            f"--slopes measures on two training images or more, 32 say; got {slopes}, with "
            f"{images} images to train on."
        )
    Calibrated(learned, prior.event_shape, low=0.0, high=1.0)
