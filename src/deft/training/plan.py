"""The numbers of a training run, and what follows from them alone.

    learning rate of step b + k = peak (k + 1) / warmup
            k < warmup
                                  peak (1 + cos(pi (k - warmup) / (steps - b - warmup))) / 2
                                          afterwards

b is 0. A run whose number of steps is raised when it has taken b of them begins again at b (a warm
restart: Loshchilov & Hutter 2017, arXiv:1608.03983): it keeps its weights, its average and its
optimiser, and the rate rises once more, over at most a twentieth of the steps that are left.

How a step is split into batches changes no result but rounding.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, final

from deft import checks
from deft.errors import InvalidInput

MOST_STEPS = 10_000_000
MOST_SIGNALS = 1 << 20
_SHARE = 0.15  # of the training signals: what validation may cost, but for the one at the end
_LONG = 7 * 86_400.0  # seconds


def _precision(what: str, value: object) -> None:
    if value not in ("fp32", "bf16"):
        raise InvalidInput(what, given=value, expected="'fp32' or 'bf16'")


_NUMBERS: dict[str, Callable[[str, Any], object]] = {
    "steps": partial(
        checks.whole,
        most=MOST_STEPS,
        meaning="optimiser steps",
        advice="a small h-transform learns in thousands",
    ),
    "batch_size": partial(checks.whole, most=MOST_SIGNALS, meaning="the signals of a batch"),
    "accumulate": partial(checks.whole, most=MOST_SIGNALS, meaning="batches of one optimiser step"),
    "learning_rate": partial(
        checks.positive, meaning="the peak of the learning rate", advice="0.001 is the usual one"
    ),
    "warmup": partial(checks.whole, least=0, meaning="optimiser steps"),
    "weight_decay": partial(checks.non_negative),
    "clip": lambda what, value: (
        None
        if value is None
        else checks.positive(what, value, "the largest norm of a gradient", "None for any")
    ),
    "ema": partial(
        checks.share,
        one=False,
        meaning="the decay of the averaged weights",
        advice="0.999 is the usual one, 0 takes the last",
    ),
    "precision": _precision,
    "validate_every": partial(checks.whole, meaning="optimiser steps"),
    "validation_draws": partial(
        checks.whole, least=0, most=MOST_STEPS, meaning="draws from the validation images"
    ),
    "patience": lambda what, value: (
        None
        if value is None
        else checks.whole(what, value, meaning="validations without a better loss")
    ),
    "save_every": partial(checks.whole, meaning="optimiser steps"),
    "log_every": partial(checks.whole, meaning="optimiser steps"),
}


def check_numbers(**numbers: object) -> None:
    """Raise `InvalidInput` for the first number of a run that cannot be meant; it costs nothing, so
    that a command can ask before it does anything.
    """
    for name, value in numbers.items():
        _NUMBERS[name](name, value)


@final
@dataclass(frozen=True)
class Plan:
    """The numbers of a run. A run that goes on must share them, but for how a step is split into
    batches, how often it is saved and, without early stopping, how it is validated; its `steps`
    may be raised. `begun` is the step at which the learning rate began last.
    """

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
    begun: int = 0

    def __post_init__(self) -> None:
        check_numbers(**{name: getattr(self, name) for name in _NUMBERS})
        if self.patience is not None and not self.validation_draws:
            raise InvalidInput(
                "patience",
                given=self.patience,
                expected="nothing, without images to validate with: early stopping counts "
                "validations",
                advice="give a `validation` set",
            )

    @property
    def signals_per_step(self) -> int:
        """The signals of one optimiser step, over all batches and processes."""
        return self.batch_size * self.accumulate * self.processes

    def shared(self) -> dict[str, object]:
        """What a run that goes on must have in common with the one that was stopped."""
        alone = ("batch_size", "accumulate", "processes", "save_every", "begun")
        own = {name: value for name, value in asdict(self).items() if name not in alone}
        return {**own, "signals_per_step": self.signals_per_step}

    def learning_rate_at(self, step: int) -> float:
        """A straight rise over `warmup` steps, then half a cosine down to zero: a function of the
        step, and of where the schedule began, alone.
        """
        k, steps = step - self.begun, self.steps - self.begun
        warmup = min(self.warmup, max(steps // 20, 1)) if self.begun else self.warmup
        if k < warmup:
            return self.learning_rate * (k + 1) / warmup
        return (
            self.learning_rate
            * 0.5
            * (1 + math.cos(math.pi * (k - warmup) / max(steps - warmup, 1)))
        )

    def free(self, raised: bool) -> tuple[str, ...]:
        """What may differ from the run that was stopped: how it is validated, where that decides
        nothing, and what follows from `steps` where they are raised.
        """
        validated = () if self.patience is not None else ("validate_every", "validation_draws")
        return (*validated, "steps", "warmup", "validate_every") if raised else validated

    def with_less_memory(self) -> str:
        """What to do where there is no room for a batch."""
        if self.batch_size == 1:
            return "one signal is the least, so take a smaller h-transform or precision='bf16'"
        signals = self.batch_size * self.accumulate
        smaller = max(size for size in range(1, self.batch_size // 2 + 1) if signals % size == 0)
        return (
            f"try batch_size={smaller}, accumulate={signals // smaller}, which takes the same "
            "optimiser steps and resumes this run"
        )


def draws_for(items: int, signals: int, *, early_stopping: bool) -> int:
    """The default number of validation draws: one per item, at least 256 and at most 512; of a
    short run a quarter of its training signals, but at least 64.
    """
    usual = min(max(items, 256), 512)
    return usual if early_stopping else min(usual, max(64, signals // 4))


def interval_for(steps: int, signals_per_step: int, draws: int | None) -> int:
    """The default number of steps between validations: a tenth of all, or as many as keep `draws`
    draws at 15 % of the training signals (None: whatever they cost).
    """
    tenth = max(steps // 10, 1)
    return (
        tenth
        if draws is None
        else min(max(tenth, math.ceil(draws / (_SHARE * signals_per_step))), steps)
    )


def long(seconds: float) -> str | None:
    """What to say of a run that will take this long, where that is more than a week."""
    if not seconds > _LONG:
        return None
    return (
        f"at this speed the steps that are left take {seconds / 86_400:,.0f} days; Ctrl-C saves, "
        "and fewer steps may do"
    )
