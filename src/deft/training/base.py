"""Objectives: losses whose minimiser is the h-transform."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import final

from torch import nn

from deft.htransforms.base import HTransform
from deft.noise import Noise
from deft.priors.base import Prior
from deft.types import LogProb, Signal


@final
@dataclass(frozen=True)
class Batch:
    """Clean signals, with the source of all that is drawn for them (operator, measurement, time, noise)."""

    x_0: Signal
    noise: Noise


@final
@dataclass(frozen=True)
class Loss:
    """The loss of each signal, and beside it what tells whether the h-transform earns its keep, all (batch,).

    `without` is the same loss without h; `log_snr` the noise level at which it was taken.
    """

    value: LogProb
    without: LogProb
    log_snr: LogProb


class Objective(nn.Module, ABC):
    """A loss for a learned h-transform whose minimiser is the h-transform. Owns its parameters and state; all of it is saved and resumed."""

    @abstractmethod
    def loss(self, h_transform: HTransform, prior: Prior, batch: Batch) -> Loss:
        """The loss of each signal of a batch."""
