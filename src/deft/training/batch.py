"""What one step of training sees, and what a loss is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import final

import torch
from torch import Tensor

from deft.errors import InvalidInput
from deft.noise import Noise
from deft.priors.denoised import Denoised
from deft.types import LogProb, Signal


@final
@dataclass(frozen=True)
class Batch:
    """What a loss is taken on: the source of all that is drawn, one seed each, and the clean
    signals, for an objective that learns from some.

    `denoised` is what the prior said about them, where that is known beforehand
    (deft.training.bank); `seen` is what they were encoded from, which is measured, where the prior
    has a codec and the data are not codes.
    """

    images: Signal | None
    noise: Noise
    denoised: Denoised | None = None
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


@final
@dataclass(frozen=True)
class Loss:
    """The loss of each signal, and beside it what is shown of it, by name, all (batch,): the log
    keeps means.
    """

    value: LogProb
    shown: Mapping[str, Tensor] = field(default_factory=dict)


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
    said = batch.denoised
    if said is not None:
        size = len(batch)

        def again(value: Tensor) -> Tensor:
            """A value for each signal, or one for all."""
            return value if len(value) != size else value.repeat_interleave(count, 0)

        said = Denoised(*map(again, (said.x_t, said.t, said.alpha_t, said.sigma_t, said.x_0_hat)))
    images, seen = (
        None if value is None else value.repeat_interleave(count, 0)
        for value in (batch.images, batch.seen)
    )
    return Batch(images, batch.noise.repeat(count), said, seen)
