"""Objectives: losses whose minimiser is the h-transform, and the batches that they are taken on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping

import torch
from torch import Tensor, nn

from deft.errors import InvalidInput
from deft.htransforms.base import HTransform
from deft.noise import Noise, mix
from deft.priors.base import Prior
from deft.storage.table import public_name
from deft.training.batch import Batch, Loss, gathered
from deft.training.sources import Source
from deft.training.validation import Validation


class Objective(nn.Module, ABC):
    """A loss for a learned h-transform whose minimiser is the h-transform. Owns its parameters and
    state; all of it is saved and resumed.

    A subclass implements `loss`; one that draws what it learns from says so in `batches`, and
    `validation`, `progress` and `where` say what it shows.
    """

    @abstractmethod
    def loss(self, h_transform: HTransform, prior: Prior, batch: Batch) -> Loss:
        """The loss of each signal of a batch; the prior is to be told of it (`Batch.told`)."""

    def batches(self, source: Source | None) -> Source:
        """What training draws its batches from: the data, unless the objective needs none
        (`Draws`). Raises `InvalidInput` where there is none and it needs some.
        """
        if source is None:
            raise InvalidInput(
                f"{type(self).__name__} learns from clean signals",
                given="no images",
                expected="a tensor, a data set or a Source",
            )
        return source

    def ahead(self, h_transform: HTransform, prior: Prior, batch: Batch) -> Batch:
        """A batch with what does not change as h learns, for batches that are taken again and
        again: as it is, unless an objective knows of something.
        """
        return batch

    def validation(self, value: Tensor, shown: Mapping[str, Tensor]) -> Validation:
        """What the losses of all draws of a validation say."""
        return Validation(float(value.mean()))

    def progress(self, means: Mapping[str, float]) -> str:
        """What the bar shows of the last steps."""
        return f"loss {means['loss']:.4g}"

    def where(self, prior: Prior, shown: Mapping[str, Tensor]) -> str:
        """At what signals a loss was taken, for the error where it is not finite; empty where there
        is nothing to say.
        """
        return ""

    def card(self) -> dict[str, object]:
        """What a checkpoint and a resumable run record of the objective."""
        return {"class": public_name(type(self))}


def validation_batches(
    source: Source,
    *,
    draws: int,
    batch_size: int,
    device: torch.device,
    dtype: torch.dtype,
    seed: int = 0,
) -> Iterator[Batch]:
    """`draws` fixed draws, which depend on `seed` alone and run through the items of the source in
    order, again where it has fewer.
    """
    for start in range(0, draws, batch_size):
        places = range(start, min(start + batch_size, draws))
        noise = Noise([mix(seed, 7, k) for k in places], device, dtype)
        yield source.batch([k % len(source) for k in places], noise)


@torch.no_grad()
def validate(
    loss: Callable[[Batch], Loss], objective: Objective, batches: Iterable[Batch]
) -> Validation:
    """What an objective says of the batches of a validation."""
    found = gathered([loss(batch) for batch in batches])
    return objective.validation(
        found.value.double().cpu(),
        {name: value.double().cpu() for name, value in found.shown.items()},
    )
