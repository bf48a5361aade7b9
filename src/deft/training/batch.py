"""What one step of training sees, and what a loss is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import final

import torch
from torch import Tensor

from deft.errors import InvalidInput
from deft.noise import Noise
from deft.priors.base import Prior
from deft.priors.denoised import Denoised
from deft.types import LogProb, Signal


@final
@dataclass(frozen=True)
class Batch:
    """What a loss is taken on: the source of all that is drawn, one seed each, and the clean
    signals, for an objective that learns from some.

    `denoised` is what the prior said about them, where that is known beforehand
    (deft.training.bank); `context` what the prior is told of each of them (a mask of the residues
    of each chain), by name; `seen` is what they were encoded from, which is measured, where the
    prior has a codec and the data are not codes.
    """

    images: Signal | None
    noise: Noise
    denoised: Denoised | None = None
    context: Mapping[str, Tensor] = field(default_factory=dict)
    seen: Tensor | None = None

    def __len__(self) -> int:
        return len(self.noise)

    @property
    def x_0(self) -> Signal:
        """The clean signals. Raises `InvalidInput` where there are none."""
        if self.images is None:
            raise InvalidInput(
                "this objective learns from clean signals",
                given="none",
                expected="images, a data set, or a Source that has some",
            )
        return self.images

    def told(self, prior: Prior) -> Prior:
        """The prior, told of these signals; the same where there is nothing to tell."""
        return prior.given(**self.context) if self.context else prior


@final
@dataclass(frozen=True)
class Loss:
    """The loss of each signal, and beside it what is shown of it, by name, all (batch,): the log
    keeps means.
    """

    value: LogProb
    shown: Mapping[str, Tensor] = field(default_factory=dict)

    def over(self, dimensions: Tensor, x_0: Signal, *names: str) -> Loss:
        """A mean over all entries of x_0, as one over the dimensions in which each signal varies:
        entries that do not exist (padding after a chain) are 0 in it. So are those of `names`.
        """
        counts = dimensions.to(x_0)
        counts = counts.repeat_interleave(max(len(x_0) // len(counts), 1))
        weight = x_0[0].numel() / counts
        shown = {name: self.shown[name] * weight for name in names}
        return Loss(self.value * weight, {**self.shown, **shown})


def gathered(parts: Sequence[Loss]) -> Loss:
    """The losses of several batches as one, without their graphs."""
    names = parts[0].shown if parts else {}
    return Loss(
        torch.cat([part.value.detach() for part in parts]),
        {name: torch.cat([part.shown[name].detach() for part in parts]) for name in names},
    )


def several(batch: Batch, count: int) -> Batch:
    """Each entry `count` times, side by side, with independent noise: the same x_0 and the same
    estimate, for several measurements of it.
    """
    said, size = batch.denoised, len(batch)

    def again(value: Tensor) -> Tensor:
        """A value for each signal, or one for all."""
        return value if len(value) != size else value.repeat_interleave(count, 0)

    if said is not None:
        said = Denoised(*map(again, (said.x_t, said.t, said.alpha_t, said.sigma_t, said.x_0_hat)))
    images, seen = (
        None if value is None else value.repeat_interleave(count, 0)
        for value in (batch.images, batch.seen)
    )
    context = {name: again(value) for name, value in batch.context.items()}
    return Batch(images, batch.noise.repeat(count), said, context, seen)
