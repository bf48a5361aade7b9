"""The training loop.

Sample k of a run is item pi_e(k mod n) of the data, with pi_e the permutation of epoch e = k // n,
and all that is drawn for it comes from the seed (seed, k). A run is therefore a function of its
arguments: the state that moves is (step, weights, average, optimiser), and a run that was killed
and started again ends with the weights of one that was not (on a CPU with the same number of
threads: the same bits). Its number of steps may be raised (deft.training.plan).
"""

from __future__ import annotations

import math
import signal
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset
from tqdm.auto import tqdm

from deft import checks, signals
from deft.errors import CheckpointError, InvalidInput, TrainingDiverged, room_for
from deft.htransforms.base import HTransform
from deft.noise import Noise, as_seed, mix
from deft.priors.base import Prior
from deft.storage.claims import Difference, differences
from deft.storage.lock import locked
from deft.storage.tensors import refusal
from deft.training.base import Batch, Images, Loss, Objective, Order, Source, gathered, validate
from deft.training.checkpoint import architecture
from deft.training.log import Log
from deft.training.plan import Plan, draws_for, interval_for, long
from deft.training.state import Average, Progress, StateFile, flatten, restore
from deft.training.validation import Validation

_TIMED = 20  # steps after which it is known how long the others take


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


def train(
    h_transform: HTransform,
    prior: Prior,
    objective: Objective,
    images: Tensor | Dataset[Any] | Source | None = None,
    *,
    steps: int,
    batch_size: int = 32,
    accumulate: int = 1,
    learning_rate: float = 1e-3,
    warmup: int | None = None,
    weight_decay: float = 0.0,
    clip: float | None = 1.0,
    ema: float = 0.999,
    precision: str = "fp32",
    flip: bool = False,
    validation: Tensor | Dataset[Any] | Source | None = None,
    validate_every: int | None = None,
    validation_draws: int | None = None,
    patience: int | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    save_every: int = 250,
    log_every: int = 50,
    resume: bool = True,
    tensorboard: bool = False,
    progress: bool = True,
) -> TrainingResult:
    """Train an h-transform in place, with AdamW and a cosine schedule; the prior stays as it is.

    `images` are clean signals in the prior's range (a tensor, or a Dataset of tensors), or a
    `Source` such as a `Bank`; an objective that draws what it learns from takes none. One optimiser
    step takes `accumulate` times `batch_size` signals on each process. `warmup` defaults to a
    twentieth of the steps. `precision="bf16"` runs prior and h-transform under autocast. The
    h-transform and the prior are moved to the device that accelerate chooses (a GPU where there is
    one).

    `validation` is compared with "no h" every `validate_every` steps, on `validation_draws` fixed
    draws. By default it costs at most 15 % of the training signals, and the one at the end: every
    tenth of the steps or more rarely, on one draw per image, at least 256 and at most 512, of short
    runs on fewer. `patience` stops early: after that many validations, a tenth of the steps apart,
    without a lower loss the best weights are taken.

    With `out` the run saves its state there every `save_every` steps, and the same call goes on
    from it (`resume=False` starts again); with more `steps` a run that has ended or was stopped
    goes on as well, with a learning rate that begins again (deft.training.plan). One run has a
    folder at a time. Ctrl-C, SIGTERM and SIGHUP save, then raise `KeyboardInterrupt`; without `out`
    the h-transform then holds the average so far.

    Raises `CheckpointError` where a state is damaged, belongs to a run with other settings, or
    cannot be written; `FolderInUse` where another run has the folder; `TrainingDiverged` where a
    loss or gradient is not finite; `OutOfMemory`.
    """
    from accelerate import Accelerator

    if flip and (images is None or isinstance(images, Source)):
        raise InvalidInput(
            f"flip is for images; {type(images).__name__} makes its own batches. Pass "
            "Images(images, prior, flip=True)."
        )
    source = objective.batches(
        images if images is None or isinstance(images, Source) else Images(images, prior, flip=flip)
    )
    held_out = (
        validation
        if validation is None or isinstance(validation, Source)
        else Images(validation, prior)
    )
    accelerator = Accelerator(
        cpu=not torch.accelerator.is_available()
    )  # which joins processes on a CPU only when told that it is one
    folder = None if out is None else Path(out)
    with _alone(folder, accelerator):
        found = StateFile(folder).read() if folder is not None and resume else None
        stopping = (
            {} if found is None or patience is None else found[1]["config"]
        )  # whose validations, early stopping being the same, go on as they were
        every, draws = _validated(
            steps,
            batch_size * accumulate * accelerator.num_processes,
            held_out,
            validate_every,
            validation_draws,
            patience,
            stopping,
        )
        plan = Plan(
            steps=steps,
            batch_size=batch_size,
            accumulate=accumulate,
            processes=accelerator.num_processes,
            learning_rate=learning_rate,
            warmup=max(steps // 20, 1) if warmup is None else warmup,
            weight_decay=weight_decay,
            clip=clip,
            ema=ema,
            precision=precision,
            validate_every=every,
            validation_draws=draws,
            patience=patience,
            seed=as_seed(seed),
            save_every=save_every,
            log_every=log_every,
        )
        run = _Run(h_transform, prior, objective, source, held_out, plan, accelerator, folder)
        run.begin(found, tensorboard)
        _go(run, progress and accelerator.is_main_process)
        return run.result()


def _validated(
    steps: int,
    signals_per_step: int,
    held_out: Source | None,
    every: int | None,
    draws: int | None,
    patience: int | None,
    before: Mapping[str, Any],
) -> tuple[int, int]:
    """Between which steps a run is validated, and on how many draws: as asked, as `before`, or by
    default.
    """
    if draws is not None and draws < 1:
        checks.whole(
            "validation_draws",
            draws,
            meaning="draws from the validation images",
            advice="leave these out for none",
        )
    counted = 0
    if held_out is not None:
        usual = before.get("validation_draws") or draws_for(
            len(held_out), signals_per_step * steps, early_stopping=patience is not None
        )
        counted = draws or usual
    if every is None:
        any_cost = draws is not None or patience is not None or not counted or signals_per_step < 1
        same = before.get("steps") == steps and before.get("validate_every")
        every = same or interval_for(steps, signals_per_step, None if any_cost else counted)
    return every, counted


def _go(run: _Run, shown: bool) -> None:
    """All steps that are left. Raises `Stopped` where a signal asked for that, when the state is
    saved.
    """
    plan = run.plan
    bar = tqdm(
        total=plan.steps,
        initial=run.at.step,
        unit="step",
        desc="training",
        disable=not shown,
        dynamic_ncols=True,
    )
    with signals.noted() as asked, bar, run.log:
        while run.at.step < plan.steps and not run.at.stopped:
            with room_for(f"batch_size={plan.batch_size}", plan.with_less_memory()):
                run.step()
                run.note(bar)
                run.examine()
            stop = _anywhere(asked.is_set(), run.accelerator)
            if stop or run.at.stopped or run.due(plan.save_every):
                run.save()
            if stop and run.at.step < plan.steps and not run.at.stopped:
                run.average.put()
                run.h_transform.eval()
                number = asked.number or int(signal.SIGINT)
                raise signals.Stopped(
                    _resume_advice(run.at.step, plan.steps, run.file, number), number
                )


@contextmanager
def _alone(folder: Path | None, accelerator: Any) -> Iterator[None]:
    """Within the block the folder is this run's; the first of its processes holds it for all."""
    with ExitStack() as held:
        if folder is not None and accelerator.is_main_process:
            try:
                held.enter_context(locked(folder))
            except OSError as error:
                raise CheckpointError(refusal(folder / "state.safetensors", error)) from error
        yield


@final
class _Run:
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
        self.losses = _Losses(h_transform, prior, objective, plan.precision)
        self.model = accelerator.prepare_model(
            self.losses
        )  # gives every process the weights of the first
        self.optimiser = torch.optim.AdamW(
            self.parameters, lr=plan.learning_rate, weight_decay=plan.weight_decay
        )
        self.average = Average(h_transform, plan.ema)
        self.order = Order(len(source), plan.seed)
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
            _check_same(
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
            self.parameters, math.inf if plan.clip is None else plan.clip
        )
        loss = gathered(taken)
        shown = {name: float(value.float().mean()) for name, value in loss.shown.items()}
        numbers = {"loss": float(loss.value.mean()), **shown, "grad_norm": float(size)}
        if not all(map(math.isfinite, numbers.values())):
            raise TrainingDiverged(self._divergence(loss))
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
            found = validate(
                self.losses,
                self.objective,
                self.held_out,
                draws=plan.validation_draws,
                batch_size=plan.batch_size,
                device=self.accelerator.device,
                dtype=self.dtype,
                seed=plan.seed,
            )
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

    def _divergence(self, loss: Loss) -> str:
        """At which step and signals a loss or gradient ceased to be finite, and what is left."""
        broken = ~torch.isfinite(loss.value)
        what = "the loss" if bool(broken.any()) else "the gradient"
        where = self.objective.where(
            self.prior,
            {
                name: value[broken] if bool(broken.any()) else value
                for name, value in loss.shown.items()
            },
        )
        return (
            f"{what} of step {self.at.step + 1} is not finite{f', at {where}' if where else ''}. "
            f"{_last_good(self.file)} "
            "Lower the learning rate and start again in another folder, or look at the images and "
            "observations of that step."
        )

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


@final
class _Losses(nn.Module):
    """The objective as one module, so that gradients of several processes meet; the prior is no
    part of it.
    """

    def __init__(
        self, h_transform: HTransform, prior: Prior, objective: Objective, precision: str
    ) -> None:
        super().__init__()
        self.h_transform, self.objective, self.bf16 = h_transform, objective, precision == "bf16"
        self._prior = (prior,)

    def forward(self, batch: Batch) -> Loss:
        with torch.autocast(batch.noise.device.type, torch.bfloat16, enabled=self.bf16):
            loss = self.objective.loss(self.h_transform, self._prior[0], batch)
        return replace(loss, value=loss.value.float() if self.bf16 else loss.value)


def _anywhere(flag: bool, accelerator: Any) -> bool:
    """Whether the flag is set on any process."""
    if accelerator.num_processes == 1:
        return flag
    return bool(accelerator.reduce(torch.tensor(float(flag), device=accelerator.device)) > 0)


def _resume_advice(step: int, steps: int, file: StateFile | None, number: int) -> str:
    stopped = f"stopped{signals.by(number)} at step {step} of {steps}"
    if file is None:
        return (
            f"{stopped}; nothing was saved, since no folder `out` was given. The h-transform holds "
            "the average so far."
        )
    return f"{stopped}; saved in {file.path}. The same call goes on from there."


def _check_same(different: list[Difference], out: Path | None) -> None:
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
