"""A run of training under way: what moves, and the steps that move it (deft.training.loop)."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from deft.errors import InvalidInput, TrainingDiverged
from deft.htransforms.base import HTransform
from deft.noise import Noise, mix
from deft.priors.base import Prior
from deft.storage.claims import differences
from deft.training.base import Objective, validate
from deft.training.batch import Batch, gathered
from deft.training.checkpoint import architecture
from deft.training.log import Log
from deft.training.losses import Losses, fixed
from deft.training.plan import Plan, long
from deft.training.result import TrainingResult, check_same, divergence
from deft.training.sources import Order, Source
from deft.training.state import Average, Progress, StateFile, flatten, restore
from deft.training.validation import Validation

_TIMED = 20  # steps after which it is known how long the others take


@final
class Run:
    """A run under way: what moves (`at`, the weights, `average`, `optimiser`, `best`), and the
    steps that move it.
    """

    def __init__(
        self,
        h_transform: HTransform,
        prior: Prior,
        objective: Objective,
        source: Source,
        held_out: Source | None,
        plan: Plan,
        accelerator: Any,
        out: Path | None,
    ) -> None:
        self.h_transform, self.prior, self.objective, self.plan, self.out = (
            h_transform,
            prior,
            objective,
            plan,
            out,
        )
        self.source, self.held_out, self.accelerator = source, held_out, accelerator
        prior.frozen().to(accelerator.device)
        h_transform.to(accelerator.device).train()
        objective.to(accelerator.device)
        self.parameters = [
            p for p in (*h_transform.parameters(), *objective.parameters()) if p.requires_grad
        ]
        if not self.parameters:
            raise InvalidInput(f"{type(h_transform).__name__} has no parameters to train.")
        self.dtype = self.parameters[0].dtype
        self.losses = Losses(h_transform, prior, objective, plan.precision)
        self.model = accelerator.prepare_model(
            self.losses
        )  # gives every process the weights of the first
        self.optimiser = torch.optim.AdamW(
            self.parameters,
            lr=plan.learning_rate,
            weight_decay=plan.weight_decay,
            fused=True,  # one pass over all parameters: the loop over them is a tenth of a step
        )
        self.average = Average(h_transform, plan.ema)
        self.order = Order(len(source), plan.seed, source.sizes, plan.batch_size)
        self.file = None if out is None else StateFile(out)
        self.at = Progress()
        self.best: dict[str, Tensor] | None = None

    def begin(
        self, found: tuple[dict[str, Tensor], dict[str, Any]] | None, tensorboard: bool
    ) -> None:
        """Go on from the state that was found, if any was, or save the start."""
        raised = False
        if (
            found is not None
            and found[1]["progress"]["step"] == 0
            and differences(found[1]["config"], self.config)
        ):
            found = None  # it had learned nothing, so that nothing is lost
        if found is not None:
            tensors, card = found
            raised = self.plan.steps > int(card["config"].get("steps", self.plan.steps))
            check_same(
                differences(card["config"], self.config, free=self.plan.free(raised)), self.out
            )
            self.best = restore(
                tensors, self.h_transform, self.objective, self.average, self.optimiser
            )
            self.at = Progress(**card["progress"])
            self.plan = replace(self.plan, begun=int(card.get("begun", 0)))
        self.log = Log(
            self.out if self.accelerator.is_main_process else None, self.at.step, tensorboard
        )
        self.started, self.first = time.monotonic(), self.at.step
        self.began = self.started - self.at.seconds
        if raised:
            self.raise_steps(int(found[1]["config"]["steps"]))  # type: ignore[index]
        if found is None or raised:
            self.save()

    def raise_steps(self, before: int) -> None:
        """Begin the learning rate again, for more steps than the run was to have."""
        self.plan = replace(self.plan, begun=self.at.step)
        self.at.stopped, self.at.stale = False, 0
        if self.accelerator.is_main_process:
            warnings.warn(
                f"{self.out} goes on from step {self.at.step} of {before} to {self.plan.steps}: "
                f"the learning rate rises again to {self.plan.learning_rate:g} and falls over "
                f"the {self.plan.steps - self.at.step} steps that are left.",
                stacklevel=4,
            )

    @cached_property
    def config(self) -> dict[str, object]:
        """Everything that the result depends on, for comparison with the run that was stopped."""
        return {
            **self.plan.shared(),
            "data": self.source.card(),
            "validation": None if self.held_out is None else self.held_out.card(),
            "objective": self.objective.card(),
            "prior": self.prior.identity(),
            "h_transform": architecture(self.h_transform),
            "noise": Noise.generator,
        }

    @cached_property
    def validation_batches(self) -> Iterable[Batch]:
        """What every validation takes."""
        assert self.held_out is not None
        return fixed(self.losses, self.held_out, self.plan, self.accelerator.device, self.dtype)

    def due(self, every: int) -> bool:
        """Whether something that happens `every` so many steps, and at the end, happens now."""
        return self.at.step % every == 0 or self.at.step == self.plan.steps

    def step(self) -> None:
        """One optimiser step."""
        plan, at = self.plan, self.at
        for group in self.optimiser.param_groups:
            group["lr"] = plan.learning_rate_at(at.step)
        taken = []
        for micro in range(plan.accumulate):
            last = micro == plan.accumulate - 1
            with nullcontext() if last else self.accelerator.no_sync(self.model):
                loss = self.model(self.batch(micro))
                self.accelerator.backward(loss.value.mean() / plan.accumulate)
            taken.append(gathered([loss]))
        size = nn.utils.clip_grad_norm_(
            self.parameters, math.inf if plan.clip is None else plan.clip, foreach=True
        )
        loss = gathered(taken)
        shown = {name: float(value.float().mean()) for name, value in loss.shown.items()}
        numbers = {"loss": float(loss.value.mean()), **shown, "grad_norm": float(size)}
        if not all(map(math.isfinite, numbers.values())):
            raise TrainingDiverged(
                divergence(at.step + 1, loss, self.objective, self.prior, self.file)
            )
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        at.step += 1
        self.average.update(at.step)
        at.sums = {name: at.sums.get(name, 0.0) + value for name, value in numbers.items()}

    def batch(self, micro: int) -> Batch:
        """This process's share of micro-batch `micro` of the present step."""
        plan = self.plan
        first = (
            self.at.step * plan.signals_per_step
            + (micro * plan.processes + self.accelerator.process_index) * plan.batch_size
        )
        places = range(first, first + plan.batch_size)
        noise = Noise([mix(plan.seed, 6, k) for k in places], self.accelerator.device, self.dtype)
        return self.source.batch([self.order[k] for k in places], noise)

    def note(self, bar: tqdm) -> None:
        """Move the bar; log the means since the last line when one is due."""
        at, plan = self.at, self.plan
        at.seconds = time.monotonic() - self.began
        bar.update()
        if at.step == self.first + _TIMED and (
            warning := long((time.monotonic() - self.started) / _TIMED * (plan.steps - at.step))
        ):
            warnings.warn(f"{warning}.", stacklevel=2)
        if not self.due(plan.log_every):
            return
        since = at.step - (at.step - 1) // plan.log_every * plan.log_every
        means = {name: value / since for name, value in at.sums.items()}
        speed, rate = (
            at.step * plan.signals_per_step / at.seconds,
            self.optimiser.param_groups[0]["lr"],
        )
        self.log.write(
            {
                "step": at.step,
                **means,
                "learning_rate": rate,
                "signals_per_second": speed,
                "seconds": at.seconds,
            }
        )
        bar.set_postfix_str(f"{self.objective.progress(means)}, {speed:.0f} signals/s")
        at.sums = {}

    def examine(self) -> None:
        """Validate the averaged weights when that is due; keep the best ones, and stop where early
        stopping says so.
        """
        at, plan = self.at, self.plan
        if self.held_out is None or not self.due(plan.validate_every):
            return
        with self.average.applied():
            found = validate(self.losses, self.objective, self.validation_batches)
        at.validation = found.card()
        self.log.write({"step": at.step, "validation": at.validation})
        if plan.patience is None:
            return
        if at.best is None or found.loss < at.best:
            at.best, at.best_step, at.stale = found.loss, at.step, 0
            self.best = {name: value.clone() for name, value in self.average.values.items()}
        else:
            at.stale += 1
            at.stopped = at.stale >= plan.patience

    def save(self) -> None:
        """Write the state, where there is a folder."""
        if self.file is not None and self.accelerator.is_main_process:
            tensors = flatten(
                self.h_transform, self.objective, self.average, self.optimiser, self.best
            )
            self.file.write(
                tensors,
                {"config": self.config, "progress": asdict(self.at), "begun": self.plan.begun},
            )

    def result(self) -> TrainingResult:
        """Hand the averaged weights (or the best ones) to the h-transform, and say what
        happened.
        """
        self.average.put(self.best)
        self.h_transform.eval()
        return TrainingResult(
            steps=self.at.step,
            signals=self.at.step * self.plan.signals_per_step,
            seconds=self.at.seconds,
            history=self.log.lines,
            validation=None
            if self.at.validation is None
            else Validation.from_card(self.at.validation),
            best_step=None if self.best is None else self.at.best_step,
            stopped_early=self.at.stopped,
            state=None if self.file is None else self.file.path,
            restarted_at=self.plan.begun or None,
        )
