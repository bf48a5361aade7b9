"""`deft train`."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any, Literal

from torch import Tensor
from torch.utils.data import Dataset

from deft import checks
from deft.commands import catalogue, inputs, priors, training_chains, training_words
from deft.commands.inputs import Convert, Fit, Range, Window
from deft.commands.priors import Labels, Names
from deft.commands.remembered import Said, options_of, remembering
from deft.commands.training_bank import bank_of, check_bank, check_slopes
from deft.commands.training_numbers import check_patience, check_shares
from deft.commands.untrained import loaded, objective_of, untrained
from deft.errors import InvalidInput
from deft.htransforms.backbone import BackboneHTransform
from deft.htransforms.base import HTransform, stays
from deft.htransforms.learned import LearnedHTransform, Operators
from deft.htransforms.pivot import Where
from deft.noise import Noise
from deft.priors.details import Details
from deft.priors.precision import settled
from deft.problems import Problem
from deft.storage import claims
from deft.storage.cards import described
from deft.storage.lock import first_process, locked
from deft.training import chain, checkpoint, places
from deft.training.calibrate import calibrate
from deft.training.denoising import TimeLaw
from deft.training.loop import learn_error
from deft.training.loop import train as train_in_place
from deft.training.plan import check_numbers
from deft.training.sources import Images, Source
from deft.training.validated import units, validated

EXAMPLE = (
    "deft train --prior digits-32 --problem Inpainting --problem.sigma_y 0.05 --images FOLDER "
    "--out run"
)
HELP = training_words.HELP


def run(
    prior: str,
    problem: Problem,
    images: Path,
    out: Path,
    validation_images: Path | None = None,
    validation_share: float | None = None,
    h_transform: str | None = None,
    fraction: float | None = None,
    operators: Operators | None = None,
    point: Where | None = None,
    patch: int | None = None,
    initial: Path | None = None,
    steps: int = 2000,
    batch_size: int = 32,
    accumulate: int = 1,
    learning_rate: float = 1e-3,
    precision: Literal["fp32", "bf16", "auto"] = "fp32",
    ema: float = 0.999,
    bank: int | Path = 0,
    per_evaluation: int = 1,
    flip: bool = False,
    validate_every: int | None = None,
    validation_draws: int | None = None,
    patience: int | None = None,
    slopes: int = 0,
    times: TimeLaw | None = None,
    objective: str | None = None,
    seed: int = 0,
    save_every: int = 250,
    resume: bool = True,
    tensorboard: bool = False,
    convert: Convert | None = None,
    fit: Fit | None = None,
    value_range: Range | None = None,
    window: Window | None = None,
    strict: bool = False,
    key: str | None = None,
    series: str | None = None,
    slice: str | None = None,
    labels: Labels | None = None,
    subfolder: str | None = None,
    schedule: str | None = None,
    prediction_type: str | None = None,
    details: Details | None = None,
    context: Path | None = None,
    allow: Names | None = None,
    *,
    resolved: str = "",
) -> None:
    """Learn an h-transform for a frozen prior and a problem.

    Writes OUT/h.safetensors with its card, OUT/metrics.jsonl and OUT/config.yaml. The run saves
    itself; the same command goes on from there.
    """
    if validation_images is not None and validation_share:
        inputs.unused("with --validation_images", validation_share=validation_share)
    if validation_draws is not None:
        checks.whole(
            "validation_draws",
            validation_draws,
            meaning="draws from the images that are held out",
            advice="hold none out for none",
        )
    share = (
        0.05 if validation_share is None and validation_images is None else validation_share or 0.0
    )
    check_shares(share, fraction, bank, slopes)
    check_numbers(
        steps=steps,
        batch_size=batch_size,
        accumulate=accumulate,
        learning_rate=learning_rate,
        ema=ema,
        patience=patience,
        save_every=save_every,
        **({} if validate_every is None else {"validate_every": validate_every}),
    )
    several = None if per_evaluation == 1 else per_evaluation
    if objective is not None:
        inputs.unused(
            f"with --objective {objective}", times=times, bank=bank or None, per_evaluation=several
        )
    if isinstance(bank, Path):
        inputs.unused("with --bank FOLDER, which has its own", times=times)
    if initial is not None:
        inputs.unused(
            "with --initial, whose network it is", patch=patch, operators=operators, point=point
        )
    allowed = priors.names(allow)
    form = catalogue.named("h-transforms", h_transform) if h_transform else None
    inputs.apart(out, images)
    began = remembering(initial)
    network = priors.opened(
        prior,
        labels,
        subfolder,
        schedule,
        prediction_type,
        allow=priors.names(allow),
        details=details,
        context=context,
        h=began,
    )
    prior_options = options_of(Said(subfolder, schedule, prediction_type, details), began)
    options = {
        "convert": convert,
        "fit": fit,
        "value_range": value_range,
        "strict": strict,
        "window": window,
        "problem": problem,
        "key": key,
        "series": series,
        "slice": slice,
    }
    chains = training_chains.of_chains(network)
    clean: Source
    held_out: Tensor | Dataset[Any] | Source | None
    if chains:
        training_chains.refuse(options, bank=bank or None, slopes=slopes or None, flip=flip)
        clean, held_out = training_chains.sources(images, validation_images, network, share)
        training_chains.check_problem(problem, clean, network, seed)
    else:
        found = inputs.opened(images, network, **options)  # type: ignore[arg-type]
        data, held_out = inputs.parted(found, share, seed)
        if validation_images is not None:
            held_out = inputs.images(inputs.opened(validation_images, network, **options))[0]  # type: ignore[arg-type]
        clean = Images(data, network, flip=flip)
    if network.num_observations != 1:
        expected = "one label for all: training draws batches of other images each time"
        raise InvalidInput("labels", given=f"{network.num_observations} labels", expected=expected)
    check_patience(patience, held_out)
    few = Noise([seed], network.device)
    told = clean.batch([0], few).told(network) if chains else network
    one = clean.batch([0], few).x_0 if chains else data[0][None]
    seen = problem.draw(one.to(network.device), few)  # what does not fit these says so now
    learned = (
        loaded(initial, network, form, allowed)
        if initial
        else untrained(
            network,
            fraction,
            seed,
            form or (BackboneHTransform if chains else LearnedHTransform),
            patch,
            operators=operators,
            point=point,
        )
    )
    if chains:
        learned.check(told, seen)
    source: Source = clean
    times = check_bank(bank, learned, network, clean, out) or times
    aim = objective_of(objective, problem, times, per_evaluation)
    if several is not None:
        stays(learned, "--per_evaluation", "leave --per_evaluation out")
    if slopes:
        check_slopes(slopes, len(clean), learned, network)
    size = sum(p.numel() for p in learned.parameters())
    first = first_process()
    if first:
        print(f"prior {network.name}: {network.num_parameters:,} parameters, frozen")
        of_prior = 100 * size / max(network.num_parameters, 1)
        print(
            f"{type(learned).__name__}: {size:,} parameters ({of_prior:.1f} %), "
            f"{described(problem.card())}"
        )
        what = "chains" if chains else "images"
        print(f"{what}: {len(clean)} to train, {_count(held_out)} held out; run folder {out}")

    with locked(out) if first else nullcontext():
        if first and (not resume or not (out / "config.yaml").exists()):
            claims.keep_yaml(out, resolved)
        if bank:
            learn_error(network, aim, clean)
            source = bank_of(network, source, bank, times, seed, out / "bank")
        result = train_in_place(
            learned,
            network,
            aim,
            source,
            steps=steps,
            batch_size=batch_size,
            accumulate=accumulate,
            learning_rate=learning_rate,
            precision=settled(network, precision, out),
            ema=ema,
            validation=held_out,
            validate_every=validate_every,
            validation_draws=validation_draws,
            patience=patience,
            seed=seed,
            out=out,
            save_every=save_every,
            resume=resume,
            tensorboard=tensorboard,
        )
        if not first:  # of several processes the first one writes
            return
        claims.keep_yaml(out, resolved)
        metrics = None if result.validation is None else result.validation.card()
        training = {
            **result.facts(),
            **({} if initial is None else chain.facts(places.fetched(initial), result.seconds)),
            "batch_size": batch_size * accumulate,
            "learning_rate": learning_rate,
            "images": len(clean),
            "bank": bank if isinstance(bank, int) else len(source),
            **({} if several is None else {"per_evaluation": per_evaluation}),
        }
        saved: HTransform = learned
        if slopes:
            some = Images(data, network).signals(min(slopes, _count(data)))
            saved, training["slopes_from_images"] = (
                calibrate(learned, network, problem, some, seed=seed),
                len(some),
            )
        checkpoint.save(
            out / "h.safetensors",
            saved,
            network,
            {
                "prior_from": prior,
                "prior_options": prior_options,
                "problem": problem.card(),
                "training": training,
                "metrics": metrics,
                "sampler": validated(
                    saved.eval(),
                    network,
                    problem,
                    held_out,
                    seed=seed,
                    sampler=training_chains.SAMPLER if chains else None,
                ),
                "units": units(network, window or getattr(problem, "window", None)),
                "weight": None if initial is None else chain.weight_of(places.fetched(initial)),
            },
        )
    if result.validation is not None:
        print(result.validation.table())
    training_words.say_saved(out / "h.safetensors", network, chains)


def _count(data: Tensor | Dataset[Any] | Source | None) -> int:
    return 0 if data is None else len(data)  # type: ignore[arg-type]
