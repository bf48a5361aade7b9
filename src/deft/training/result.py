"""What a run of training did, and what it says where it stops."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import torch

from deft import signals
from deft.errors import CheckpointError, PriorUnavailable
from deft.priors.base import Prior
from deft.storage.claims import Difference
from deft.training.base import Objective
from deft.training.batch import Loss
from deft.training.state import StateFile
from deft.training.validation import Validation


@final
@dataclass(frozen=True)
class TrainingResult:
    """What a run did. The h-transform itself was trained in place; it holds the averaged weights
    (those of `best_step` with early stopping).
    """

    steps: int
    signals: int
    seconds: float
    history: list[dict[str, Any]]
    validation: Validation | None
    best_step: int | None
    stopped_early: bool
    state: Path | None
    restarted_at: int | None = None

    def facts(self) -> dict[str, object]:
        """What a checkpoint's card records of the training."""
        facts: dict[str, object] = {
            "steps": self.steps,
            "signals": self.signals,
            "seconds": round(self.seconds, 3),
            "stopped_early": self.stopped_early,
        }
        if self.best_step is not None:
            facts["best_step"] = self.best_step
        if self.restarted_at:
            facts["restarted_at"] = self.restarted_at
        return facts


def resume_advice(step: int, steps: int, file: StateFile | None, number: int) -> str:
    stopped = f"stopped{signals.by(number)} at step {step} of {steps}"
    if file is None:
        return (
            f"{stopped}; nothing was saved, since no folder `out` was given. The h-transform holds "
            "the average so far."
        )
    return f"{stopped}; saved in {file.path}. The same call goes on from there."


def without_prior(error: PriorUnavailable, step: int, file: StateFile | None) -> PriorUnavailable:
    """What to say where the prior ceased to answer, after `step` steps."""
    saved = file.last_step() if file is not None else None
    kept = (
        "nothing was saved, since no folder `out` was given"
        if file is None or saved is None
        else f"what was done is saved in {file.path}, to step {saved}; the same call goes on from "
        "there"
    )
    return PriorUnavailable(f"{str(error).rstrip('.')}. Stopped after {step} steps: {kept}.")


def check_same(different: list[Difference], out: Path | None) -> None:
    """Raise where a run was started with other settings."""
    if different:
        raise CheckpointError(
            f"{out} holds a run with other settings: {'; '.join(one.was for one in different)}. "
            "Give those settings to resume it, another folder `out`, or resume=False to start "
            "again."
        )


def _last_good(file: StateFile | None) -> str:
    step = file.last_step() if file is not None else None
    if file is None or step is None:
        return (
            "No state was saved, since no folder `out` was given."
            if file is None
            else "There is no state to go back to."
        )
    further = f" (deft train --initial {file.path} starts from its weights)" if step else ""
    return f"The last good state is that of step {step}, in {file.path}{further}."


def divergence(
    step: int, loss: Loss, objective: Objective, prior: Prior, file: StateFile | None
) -> str:
    """At which step and signals a loss or gradient ceased to be finite, and what is left."""
    broken = ~torch.isfinite(loss.value)
    what = "the loss" if bool(broken.any()) else "the gradient"
    where = objective.where(
        prior,
        {
            name: value[broken] if bool(broken.any()) else value
            for name, value in loss.shown.items()
        },
    )
    return (
        f"{what} of step {step} is not finite{f', at {where}' if where else ''}. "
        f"{_last_good(file)} "
        "Lower the learning rate and start again in another folder, or look at the images and "
        "observations of that step."
    )
