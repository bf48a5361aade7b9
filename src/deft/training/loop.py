"""The training loop.

Sample k of a run is item pi_e(k mod n) of the data, with pi_e the permutation of epoch e = k // n,
and all that is drawn for it comes from the seed (seed, k). A run is therefore a function of its
arguments: the state that moves is (step, weights, average, optimiser), and a run that was killed
and started again ends with the weights of one that was not (on a CPU with the same number of
threads: the same bits). Its number of steps may be raised (deft.training.plan).
"""

from __future__ import annotations

import signal
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset
from tqdm.auto import tqdm

from deft import checks, signals
from deft.errors import CheckpointError, InvalidInput, PriorUnavailable, room_for
from deft.htransforms.base import HTransform
from deft.noise import as_seed
from deft.priors.base import Prior
from deft.storage.lock import locked
from deft.storage.tensors import refusal
from deft.training.base import Objective
from deft.training.codec_error import codec_error, enough
from deft.training.plan import Plan, draws_for, interval_for
from deft.training.result import TrainingResult, resume_advice, without_prior
from deft.training.run import Run
from deft.training.sources import Images, Source
from deft.training.state import StateFile


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

    What the autoencoder of a latent prior leaves out of a measurement is measured on the first
    images, and added to sigma_y (deft.training.codec_error).

    A prior behind an API that ceases to answer raises `PriorUnavailable`, when what was done is
    saved. Raises `CheckpointError` where a state is damaged, belongs to a run with other settings,
    or cannot be written; `FolderInUse` where another run has the folder; `TrainingDiverged` where a
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
    learn_error(prior, objective, source, held_out)
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
        run = Run(h_transform, prior, objective, source, held_out, plan, accelerator, folder)
        run.begin(found, tensorboard)
        _go(run, progress and accelerator.is_main_process)
        return run.result()


def learn_error(
    prior: Prior, objective: Objective, source: Source, held_out: Source | None = None
) -> None:
    """Measure the error of a prior's codec for the problem of an objective, where it has one and
    the source has images; or on those that are held out, where it has none (a bank) and the error
    is not known.
    """
    problem = getattr(objective, "problem", None)
    if prior.codec is None or problem is None:
        return
    images = source.looked_at(enough(prior))
    if images is None and held_out is not None and not prior.codec.error:
        images = held_out.looked_at(enough(prior))
    if images is not None:
        codec_error(prior, problem, images)


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


def _go(run: Run, shown: bool) -> None:
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
            before = run.at.step
            try:
                with room_for(f"batch_size={plan.batch_size}", plan.with_less_memory()):
                    run.step()
                    run.note(bar)
                    run.examine()
            except PriorUnavailable as error:
                if run.at.step == before:  # and not in a validation, which is then made again
                    run.save()
                run.average.put()
                run.h_transform.eval()
                raise without_prior(error, before, run.file) from error
            stop = _anywhere(asked.is_set(), run.accelerator)
            if stop or run.at.stopped or run.due(plan.save_every):
                run.save()
            if stop and run.at.step < plan.steps and not run.at.stopped:
                run.average.put()
                run.h_transform.eval()
                number = asked.number or int(signal.SIGINT)
                raise signals.Stopped(
                    resume_advice(run.at.step, plan.steps, run.file, number), number
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


def _anywhere(flag: bool, accelerator: Any) -> bool:
    """Whether the flag is set on any process."""
    if accelerator.num_processes == 1:
        return flag
    return bool(accelerator.reduce(torch.tensor(float(flag), device=accelerator.device)) > 0)
