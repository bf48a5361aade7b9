"""The state of a training run: all that moves, in one safetensors file.

Data position, observations, times and noise are functions of (seed, sample), so that what moves is
the step, the weights, their average and the optimiser. It is written at optimiser steps only. Two
files are kept: the last state and the one before.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor, nn

from deft.errors import CheckpointError
from deft.storage import tensors as files
from deft.storage.compound_fields import Object, OneOf, Plain
from deft.storage.fields import Flag, Nothing, Real, Text, Whole
from deft.storage.table import modern

KIND = "deft training state"
_PROGRESS = {
    "step": Whole(0),
    "seconds": Real(),
    "sums": Object({}, open=True),
    "best": OneOf((Real(), Nothing())),
    "best_step": Whole(0),
    "stale": Whole(0),
    "stopped": Flag(),
    "validation": OneOf((Object({}, open=True), Nothing())),
}
CARD = Object(
    {
        "format": Whole(1),
        "config": Object(
            {
                "steps": Whole(0),
                "prior": Object({"name": Text(200)}, open=True),
                "h_transform": Plain(),
            },
            open=True,
        ),
        "progress": Object(_PROGRESS, ("step",)),
    },
    ("config", "progress"),
    open=True,
)
"""What the card of a training state may hold."""


@final
class Average:
    """An exponential moving average of parameters.

    ema_n = d ema_{n-1} + (1 - d) w_n,    d = min(decay, (1 + n) / (10 + n))
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.parameters = {name: p for name, p in module.named_parameters() if p.requires_grad}
        self.decay = decay
        self.values = {name: p.detach().clone() for name, p in self.parameters.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after optimiser step `step` = 1, 2, ..."""
        d = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(
            [self.values[name] for name in self.parameters], list(self.parameters.values()), 1 - d
        )

    @torch.no_grad()
    def load(self, values: Mapping[str, Tensor]) -> None:
        """Go on from an average saved earlier."""
        for name, value in self.values.items():
            value.copy_(values[name])

    @torch.no_grad()
    def put(self, values: Mapping[str, Tensor] | None = None) -> None:
        """Give the parameters the average's values (or others)."""
        for name, p in self.parameters.items():
            p.copy_((values or self.values)[name])

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The parameters hold the average within the block, and their own values after it."""
        own = {name: p.detach().clone() for name, p in self.parameters.items()}
        self.put()
        try:
            yield
        finally:
            self.put(own)


@final
@dataclass
class Progress:
    """The numbers of a run: what is no tensor."""

    step: int = 0
    seconds: float = 0.0
    sums: dict[str, float] = field(default_factory=dict)
    best: float | None = None
    best_step: int = 0
    stale: int = 0
    stopped: bool = False
    validation: dict[str, Any] | None = None


@final
class StateFile:
    """The last state of a run in `folder`, and the one before."""

    def __init__(self, folder: Path) -> None:
        self.path, self.previous = (
            folder / "state.safetensors",
            folder / "state.previous.safetensors",
        )

    def write(self, tensors: Mapping[str, Tensor], card: Mapping[str, object]) -> None:
        """Save; the earlier state becomes `previous`. Raises `CheckpointError` where the disk
        refuses; the earlier state is then intact.
        """
        fresh = self.path.with_name("state.next.safetensors")
        try:
            files.write(fresh, tensors, card, KIND)
        except CheckpointError as error:
            if isinstance(error.__cause__, OSError):
                last = (
                    f" The last good state is that of step {self.last_step()}."
                    if self.path.exists()
                    else ""
                )
                raise CheckpointError(
                    files.refusal(self.path, error.__cause__) + last
                ) from error.__cause__
            raise
        if self.path.exists():
            os.replace(self.path, self.previous)
        os.replace(fresh, self.path)

    def read(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """The last state whole, or None where there is none. Raises `CheckpointError` for a damaged
        file: never silently an older state.
        """
        path = self.path
        if not path.exists():  # killed between the two renames
            path = self.previous
            if not path.exists():
                return None
        try:
            tensors, head = files.read(path, KIND, CARD)
            return tensors, {**head.card, "config": modern(head.card["config"])}
        except CheckpointError as error:
            other = self.previous if path == self.path else None
            advice = (
                f"Delete it and run the same call again to go on from {other}"
                if other and other.exists()
                else "Delete it to start again"
            )
            raise CheckpointError(
                f"this run cannot be resumed: {error} {advice}, or give another folder `out`."
            ) from error

    def last_step(self) -> int | None:
        """The step of the last state, or None where there is none that can be read."""
        try:
            result: int | None = files.header(self.path, KIND, CARD).card["progress"]["step"]
            return result
        except CheckpointError:
            return None


def flatten(
    module: nn.Module,
    objective: nn.Module,
    average: Average,
    optimiser: torch.optim.Optimizer,
    best: Mapping[str, Tensor] | None,
) -> dict[str, Tensor]:
    """Every tensor of a run, under names that say whose it is."""
    tensors = {f"h.{name}": value for name, value in module.state_dict().items()}
    tensors |= {f"objective.{name}": value for name, value in objective.state_dict().items()}
    tensors |= {f"ema.{name}": value for name, value in average.values.items()}
    tensors |= {f"best.{name}": value for name, value in (best or {}).items()}
    for i, entry in optimiser.state_dict()["state"].items():
        tensors |= {
            f"optimiser.{i}.{name}": torch.as_tensor(value) for name, value in entry.items()
        }
    return tensors


def restore(
    tensors: Mapping[str, Tensor],
    module: nn.Module,
    objective: nn.Module,
    average: Average,
    optimiser: torch.optim.Optimizer,
) -> dict[str, Tensor] | None:
    """The inverse of `flatten`; gives back the best weights, if any were kept."""
    module.load_state_dict(_under("h.", tensors))
    objective.load_state_dict(_under("objective.", tensors))
    average.load(_under("ema.", tensors))
    entries: dict[int, dict[str, Tensor]] = {}
    for name, value in _under("optimiser.", tensors).items():
        i, _, key = name.partition(".")
        entries.setdefault(int(i), {})[key] = value
    optimiser.load_state_dict(
        {"state": entries, "param_groups": optimiser.state_dict()["param_groups"]}
    )
    best = _under("best.", tensors)
    return {name: value.to(average.values[name].device) for name, value in best.items()} or None


@torch.no_grad()
def restore_average(tensors: Mapping[str, Tensor], module: nn.Module) -> None:
    """The averaged parameters of a run, and nothing else of it; raises what torch raises where they
    do not fit.
    """
    module.load_state_dict(_under("h.", tensors))
    average = _under("ema.", tensors)
    for name, p in module.named_parameters():
        p.copy_(average[name])


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }
