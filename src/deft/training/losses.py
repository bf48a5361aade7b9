"""The loss of a run, and the batches of its validations.

A validation takes the same draws every time. What the prior says of them does not change as h
learns, so that it is asked once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import final

import torch
from torch import nn

from deft.htransforms.base import HTransform
from deft.priors.base import Prior
from deft.training.base import Objective, validation_batches
from deft.training.batch import Batch, Loss
from deft.training.plan import Plan
from deft.training.sources import Source

_KEPT_BYTES = (
    1 << 29
)  # of validation batches, in single precision: x_0, x_t, x_0_hat, and images that were encoded


@final
class Losses(nn.Module):
    """The objective as one module, so that gradients of several processes meet; the prior is no
    part of it.
    """

    def __init__(
        self, h_transform: HTransform, prior: Prior, objective: Objective, precision: str
    ) -> None:
        super().__init__()
        self.h_transform, self.objective, self.bf16 = h_transform, objective, precision == "bf16"
        self._prior = (prior,)
        looked_at = 0 if prior.codec is None else math.prod(prior.signal_shape)
        self.kept = 3 * math.prod(prior.event_shape) + looked_at  # numbers of one signal

    def forward(self, batch: Batch) -> Loss:
        with torch.autocast(batch.noise.device.type, torch.bfloat16, enabled=self.bf16):
            loss = self.objective.loss(self.h_transform, self._prior[0], batch)
        return replace(loss, value=loss.value.float() if self.bf16 else loss.value)

    @torch.no_grad()
    def ahead(self, batch: Batch) -> Batch:
        """A batch with what does not change in training."""
        with torch.autocast(batch.noise.device.type, torch.bfloat16, enabled=self.bf16):
            return self.objective.ahead(self.h_transform, self._prior[0], batch)


@final
class _Again:
    """Batches that are made anew whenever they are gone through."""

    def __init__(
        self, source: Source, plan: Plan, device: torch.device, dtype: torch.dtype
    ) -> None:
        self.source, self.plan, self.device, self.dtype = source, plan, device, dtype

    def __iter__(self) -> Iterator[Batch]:
        return validation_batches(
            self.source,
            draws=self.plan.validation_draws,
            batch_size=self.plan.batch_size,
            device=self.device,
            dtype=self.dtype,
            seed=self.plan.seed,
        )


def fixed(
    losses: Losses, source: Source, plan: Plan, device: torch.device, dtype: torch.dtype
) -> Iterable[Batch]:
    """The batches of a validation, kept with what the prior says of them where they take no more
    than 512 MiB.
    """
    made = _Again(source, plan, device, dtype)
    size = 4 * plan.validation_draws * losses.kept
    return made if size > _KEPT_BYTES else [losses.ahead(batch) for batch in made]
