"""The numbers of a training run, and what follows from them alone.

    learning rate of step k = peak (k + 1) / warmup                                        k < warmup
                              peak (1 + cos(pi (k - warmup) / (steps - warmup))) / 2       afterwards

How a step is split into batches changes no result but rounding.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import final

from deft.errors import InvalidInput


@final
@dataclass(frozen=True)
class Plan:
    """The numbers of a run. A run that goes on must share them, but for how a step is split into batches and how often it is saved."""

    steps: int
    batch_size: int
    accumulate: int
    processes: int
    learning_rate: float
    warmup: int
    weight_decay: float
    clip: float | None
    ema: float
    precision: str
    validate_every: int
    validation_draws: int
    patience: int | None
    seed: int
    save_every: int
    log_every: int

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "accumulate", "validate_every", "save_every", "log_every"):
            if getattr(self, name) < 1:
                raise InvalidInput(f"{name} must be at least 1; got {getattr(self, name)}.")
        if not self.learning_rate > 0 or not 0 <= self.ema < 1 or (self.clip is not None and not self.clip > 0):
            raise InvalidInput(
                f"training needs learning_rate > 0, 0 <= ema < 1 and clip > 0 or None; got {self.learning_rate}, {self.ema} and {self.clip}."
            )
        if self.precision not in ("fp32", "bf16"):
            raise InvalidInput(f"precision is 'fp32' or 'bf16'; got {self.precision!r}.")
        if self.patience is not None and (self.patience < 1 or not self.validation_draws):
            raise InvalidInput("early stopping (patience) counts validations: give patience >= 1 and a `validation` set.")

    @property
    def signals_per_step(self) -> int:
        """The signals of one optimiser step, over all batches and processes."""
        return self.batch_size * self.accumulate * self.processes

    def shared(self) -> dict[str, object]:
        """What a run that goes on must have in common with the one that was stopped."""
        own = {name: value for name, value in asdict(self).items() if name not in ("batch_size", "accumulate", "processes", "save_every")}
        return {**own, "signals_per_step": self.signals_per_step}

    def learning_rate_at(self, step: int) -> float:
        """A straight rise over `warmup` steps, then half a cosine down to zero: a function of the step alone."""
        if step < self.warmup:
            return self.learning_rate * (step + 1) / self.warmup
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - self.warmup) / max(self.steps - self.warmup, 1)))

    def with_less_memory(self) -> str:
        """What to do where there is no room for a batch."""
        if self.batch_size == 1:
            return "one signal is the least, so take a smaller h-transform or precision='bf16'"
        signals = self.batch_size * self.accumulate
        smaller = max(size for size in range(1, self.batch_size // 2 + 1) if signals % size == 0)
        return f"try batch_size={smaller}, accumulate={signals // smaller}, which takes the same optimiser steps and resumes this run"
