"""The training loop.

Sample k of a run is item pi_e(k mod n) of the data, with pi_e the permutation of epoch e = k // n, and all that is drawn for it comes from the seed (seed, k).
A run is therefore a function of its arguments: the state that moves is (step, weights, average, optimiser), and a run that was killed and started again ends with
the weights of one that was not (on a CPU with the same number of threads: the same bits).
"""

from __future__ import annotations

import json
import math
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset
from tqdm.auto import tqdm

from deft.data.files import atomic
from deft.errors import CheckpointError, InvalidInput, OutOfMemory, TrainingDiverged
from deft.htransforms.base import HTransform
from deft.noise import Noise, mix
from deft.priors.base import Prior
from deft.training.base import Batch, Images, Loss, Objective, Order, Source
from deft.training.checkpoint import architecture
from deft.training.files import refusal
from deft.training.state import Average, Progress, StateFile, flatten, restore
from deft.training.validation import Validation, validate


@final
@dataclass(frozen=True)
class TrainingResult:
    """What a run did. The h-transform itself was trained in place; it holds the averaged weights (those of `best_step` with early stopping)."""

    steps: int
    signals: int
    seconds: float
    history: list[dict[str, Any]]
    validation: Validation | None
    best_step: int | None
    stopped_early: bool
    state: Path | None

    def facts(self) -> dict[str, object]:
        """What a checkpoint's card records of the training."""
        facts: dict[str, object] = {
            "steps": self.steps,
            "signals": self.signals,
            "seconds": round(self.seconds, 1),
            "stopped_early": self.stopped_early,
        }
        if self.best_step is not None:
            facts["best_step"] = self.best_step
        return facts


def train(
    h_transform: HTransform,
    prior: Prior,
    objective: Objective,
    images: Tensor | Dataset | Source,
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
    validation: Tensor | Dataset | Source | None = None,
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

    `images` are clean signals in the prior's range (a tensor, or a Dataset of tensors), or a `Source` such as a `Bank`. One optimiser step takes `accumulate`
    times `batch_size` signals on each process. `warmup` defaults to a twentieth of the steps. `precision="bf16"` runs prior and h-transform under autocast. The
    h-transform and the prior are moved to the device that accelerate chooses (a GPU where there is one).

    `validation` is compared with "no h" every `validate_every` steps (default: a tenth of them), on `validation_draws` fixed draws (default: one per
    image, at least 256 and at most 1024). `patience` stops early: after that many validations without a lower loss the best weights are taken.

    With `out` the run saves its state there every `save_every` steps, and the same call goes on from it (`resume=False` starts again). Ctrl-C
    saves, then raises `KeyboardInterrupt`; without `out` the h-transform then holds the average so far.

    Raises `CheckpointError` where a state is damaged, belongs to a run with other settings, or cannot be written; `TrainingDiverged` where a loss or gradient is
    not finite; `OutOfMemory`.
    """
    from accelerate import Accelerator

    _check(steps, batch_size, accumulate, learning_rate, ema, clip, precision, patience, validation is not None)
    accelerator = Accelerator()
    device = accelerator.device
    prior.frozen().to(device)
    h_transform.to(device).train()
    objective.to(device)
    parameters = [p for p in (*h_transform.parameters(), *objective.parameters()) if p.requires_grad]
    if not parameters:
        raise InvalidInput(f"{type(h_transform).__name__} has no parameters to train.")
    dtype = parameters[0].dtype

    source = images if isinstance(images, Source) else Images(images, prior, flip=flip)
    held_out = validation if validation is None or isinstance(validation, Source) else Images(validation, prior)
    draws = validation_draws or (min(max(len(held_out), 256), 1024) if held_out is not None else 0)
    validate_every = validate_every or max(steps // 10, 1)
    warmup = max(steps // 20, 1) if warmup is None else warmup
    signals = batch_size * accumulate * accelerator.num_processes

    optimiser = torch.optim.AdamW(parameters, lr=learning_rate, weight_decay=weight_decay)
    losses = _Losses(h_transform, prior, objective, precision)
    model = accelerator.prepare_model(losses)  # gives every process the weights of the first
    average = Average(h_transform, ema)
    order = Order(len(source), seed)

    config = {
        "steps": steps, "signals_per_step": signals, "learning_rate": learning_rate, "warmup": warmup, "weight_decay": weight_decay,
        "clip": clip, "ema": ema, "precision": precision, "seed": seed, "patience": patience, "data": source.card(),
        "validation": held_out.card() if held_out is not None else None, "validate_every": validate_every, "validation_draws": draws,
        "objective": objective.card(), "prior": prior.identity(), "h_transform": architecture(h_transform), "log_every": log_every,
    }  # fmt: skip
    at = Progress()
    best: dict[str, Tensor] | None = None
    file = StateFile(Path(out)) if out is not None else None
    found = file.read() if file is not None and resume else None
    if found is not None:
        tensors, card = found
        _check_same(card["config"], config, Path(out))  # type: ignore[arg-type]
        best = restore(tensors, h_transform, objective, average, optimiser)
        at = Progress(**card["progress"])
    log = _Log(Path(out) if out is not None and accelerator.is_main_process else None, at.step, tensorboard)

    def save() -> None:
        if file is not None and accelerator.is_main_process:
            file.write(flatten(h_transform, objective, average, optimiser, best), {"config": config, "progress": asdict(at)})

    def examine() -> None:
        nonlocal best
        if held_out is None:
            return
        with average.applied():
            result = validate(losses, held_out, draws=draws, batch_size=batch_size, device=device, dtype=dtype, seed=seed)
        at.validation = result.card()
        log.write({"step": at.step, "validation": at.validation})
        if patience is None:
            return
        if at.best is None or result.loss < at.best:
            at.best, at.best_step, at.stale = result.loss, at.step, 0
            best = {name: value.clone() for name, value in average.values.items()}
        else:
            at.stale += 1
            at.stopped = at.stale >= patience

    if found is None:
        save()
    bar = tqdm(
        total=steps,
        initial=at.step,
        unit="step",
        desc="training",
        disable=not progress or not accelerator.is_main_process,
        dynamic_ncols=True,
    )
    began, before = time.monotonic(), at.seconds
    with _interruptible() as interrupted, bar, log:
        while at.step < steps and not at.stopped:
            rate = learning_rate_at(at.step, steps, learning_rate, warmup)
            for group in optimiser.param_groups:
                group["lr"] = rate
            taken: list[Loss] = []
            try:
                for micro in range(accumulate):
                    first = at.step * signals + (micro * accelerator.num_processes + accelerator.process_index) * batch_size
                    places = range(first, first + batch_size)
                    batch = source.batch([order[k] for k in places], Noise([mix(seed, 6, k) for k in places], device, dtype))
                    with accelerator.no_sync(model) if micro < accumulate - 1 else nullcontext():
                        loss = model(batch)
                        accelerator.backward(loss.value.mean() / accumulate)
                    taken.append(Loss(loss.value.detach(), loss.without, loss.log_snr))
                size = nn.utils.clip_grad_norm_(parameters, math.inf if clip is None else clip)
                mean, without = (torch.cat([getattr(part, name) for part in taken]).mean() for name in ("value", "without"))
                numbers = {"loss": float(mean), "without": float(without), "grad_norm": float(size)}
                _check_finite(numbers, taken, at.step, prior, file)
                optimiser.step()
                optimiser.zero_grad(set_to_none=True)
            except (RuntimeError, MemoryError) as error:
                _raise_out_of_memory(error, batch_size, accumulate)
                raise
            at.step += 1
            average.update(at.step)
            at.seconds = before + time.monotonic() - began
            at.sums = {name: at.sums.get(name, 0.0) + value for name, value in numbers.items()}
            bar.update()
            if at.step % log_every == 0 or at.step == steps:
                since = at.step - (at.step - 1) // log_every * log_every
                means = {name: value / since for name, value in at.sums.items()}
                speed = at.step * signals / at.seconds
                log.write({"step": at.step, **means, "learning_rate": rate, "signals_per_second": speed, "seconds": at.seconds})
                bar.set_postfix_str(f"loss {means['loss']:.4g} ({means['loss'] / means['without']:.2f} of no h), {speed:.0f} signals/s")
                at.sums = {}
            if at.step % validate_every == 0 or at.step == steps:
                examine()
            stop = _anywhere(interrupted.is_set(), accelerator)
            if at.step % save_every == 0 or at.step == steps or at.stopped or stop:
                save()
            if stop and at.step < steps and not at.stopped:
                average.put()
                h_transform.eval()
                raise KeyboardInterrupt(_resume_advice(at.step, steps, file))
    average.put(best)
    h_transform.eval()
    seen = None if at.validation is None else Validation.from_card(at.validation)
    return TrainingResult(
        at.step,
        at.step * signals,
        at.seconds,
        log.lines,
        seen,
        at.best_step if best is not None else None,
        at.stopped,
        file.path if file else None,
    )


def learning_rate_at(step: int, steps: int, peak: float, warmup: int) -> float:
    """A straight rise over `warmup` steps, then half a cosine down to zero: a function of the step alone."""
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(steps - warmup, 1)))


@final
class _Losses(nn.Module):
    """The objective as one module, so that gradients of several processes meet; the prior is no part of it."""

    def __init__(self, h_transform: HTransform, prior: Prior, objective: Objective, precision: str) -> None:
        super().__init__()
        self.h_transform, self.objective, self.bf16 = h_transform, objective, precision == "bf16"
        self._prior = (prior,)

    def forward(self, batch: Batch) -> Loss:
        with torch.autocast(batch.x_0.device.type, torch.bfloat16, enabled=self.bf16):
            loss = self.objective.loss(self.h_transform, self._prior[0], batch)
        return replace(loss, value=loss.value.float() if self.bf16 else loss.value)


@final
class _Log:
    """metrics.jsonl: one JSON object per line, each with its step; lines after the step that a run goes on from are dropped."""

    def __init__(self, folder: Path | None, step: int, tensorboard: bool) -> None:
        self.lines: list[dict[str, Any]] = []
        self.path = folder / "metrics.jsonl" if folder is not None else None
        self.board = _tensorboard(folder) if tensorboard else None
        if self.path is None:
            return
        if step and self.path.exists():
            self.lines = [line for line in map(_parsed, self.path.read_text().splitlines()) if line is not None and line["step"] <= step]
        try:
            with atomic(self.path) as file:
                file.write("".join(json.dumps(line) + "\n" for line in self.lines).encode())
        except OSError as error:
            raise CheckpointError(refusal(self.path, error)) from error

    def write(self, line: dict[str, Any]) -> None:
        self.lines.append(line)
        if self.path is not None:
            try:
                with open(self.path, "a") as file:
                    file.write(json.dumps(line) + "\n")
            except OSError as error:
                raise CheckpointError(refusal(self.path, error)) from error
        if self.board is not None:
            for name, value in line.get("validation", line).items():
                if isinstance(value, float):
                    self.board.add_scalar(f"validation/{name}" if "validation" in line else name, value, line["step"])

    def __enter__(self) -> _Log:
        return self

    def __exit__(self, *error: object) -> None:
        if self.board is not None:
            self.board.close()


def _parsed(line: str) -> dict[str, Any] | None:
    """A line of the log, or None where the run was killed while writing it."""
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) and "step" in value else None


def _tensorboard(folder: Path | None) -> Any:
    if folder is None:
        raise InvalidInput("tensorboard=True writes beside the run; give a folder `out`.")
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise InvalidInput("tensorboard is not installed; `pip install deft-diffusion[tracking]`, or read metrics.jsonl.") from error
    return SummaryWriter(folder)


@contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """Within the block the first Ctrl-C sets the event instead of striking anywhere; the second one strikes."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    usual = signal.getsignal(signal.SIGINT)

    def ask(number: int, frame: object) -> None:
        asked.set()
        signal.signal(signal.SIGINT, usual)

    signal.signal(signal.SIGINT, ask)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, usual)


def _anywhere(flag: bool, accelerator: Any) -> bool:
    """Whether the flag is set on any process."""
    if accelerator.num_processes == 1:
        return flag
    return bool(accelerator.reduce(torch.tensor(float(flag), device=accelerator.device)) > 0)


def _resume_advice(step: int, steps: int, file: StateFile | None) -> str:
    if file is None:
        return f"stopped at step {step} of {steps}; nothing was saved, since no folder `out` was given. The h-transform holds the average so far."
    return f"stopped at step {step} of {steps}; saved in {file.path}. The same call goes on from there."


def _check(
    steps: int, batch_size: int, accumulate: int, learning_rate: float, ema: float, clip: float | None, precision: str,
    patience: int | None, validates: bool,
) -> None:  # fmt: skip
    for name, value in {"steps": steps, "batch_size": batch_size, "accumulate": accumulate}.items():
        if value < 1:
            raise InvalidInput(f"{name} must be at least 1; got {value}.")
    if not learning_rate > 0 or not 0 <= ema < 1 or (clip is not None and not clip > 0):
        raise InvalidInput(f"training needs learning_rate > 0, 0 <= ema < 1 and clip > 0 or None; got {learning_rate}, {ema} and {clip}.")
    if precision not in ("fp32", "bf16"):
        raise InvalidInput(f"precision is 'fp32' or 'bf16'; got {precision!r}.")
    if patience is not None and (patience < 1 or not validates):
        raise InvalidInput("early stopping (patience) counts validations: give patience >= 1 and a `validation` set.")


def _check_same(theirs: Mapping[str, Any], ours: Mapping[str, Any], out: Path) -> None:
    """Raise where a run was started with other settings."""
    ours = json.loads(json.dumps(ours))
    different = [
        f"{name} was {theirs.get(name)} and is {ours.get(name)}" for name in {**theirs, **ours} if theirs.get(name) != ours.get(name)
    ]
    if different:
        raise CheckpointError(
            f"{out} holds a run with other settings: {'; '.join(different)}. Give those settings to resume it, another folder `out`, or resume=False to start again."
        )


def _check_finite(numbers: Mapping[str, float], taken: list[Loss], step: int, prior: Prior, file: StateFile | None) -> None:
    if all(math.isfinite(value) for value in numbers.values()):
        return
    value, log_snr = torch.cat([part.value for part in taken]), torch.cat([part.log_snr for part in taken])
    broken = ~torch.isfinite(value)
    what = "the loss" if bool(broken.any()) else "the gradient"
    where = (log_snr[broken] if bool(broken.any()) else log_snr).double().cpu().sort().values
    t = prior.schedule.time(where)
    first, last = (f"{where[i].item():.4g} (t = {t[i].item():.4g})" for i in (0, -1))
    at = f"log-SNR {first}" if len(where) == 1 else f"log-SNRs between {first} and {last}"
    raise TrainingDiverged(
        f"{what} of step {step + 1} is not finite, at {at}. {_last_good(file)} Lower the learning rate, or look at the images and observations of that step."
    )


def _last_good(file: StateFile | None) -> str:
    step = file.last_step() if file is not None else None
    if file is None or step is None:
        return "No state was saved, since no folder `out` was given." if file is None else "There is no state to go back to."
    return f"The last good state is that of step {step}, in {file.path}."


def _raise_out_of_memory(error: Exception, batch_size: int, accumulate: int) -> None:
    """Raise `OutOfMemory` if that is what the error says."""
    text = str(error).lower()
    if not (isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "out of memory" in text or "can't allocate memory" in text):
        return
    if batch_size == 1:
        raise OutOfMemory("the device has no room for a batch of one signal; take a smaller h-transform or precision='bf16'.") from error
    half = batch_size // 2
    raise OutOfMemory(
        f"the device has no room for batch_size={batch_size}; try batch_size={half}, accumulate={math.ceil(accumulate * batch_size / half)}, "
        "which takes the same optimiser steps and resumes this run."
    ) from error
