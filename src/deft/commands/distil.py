"""`deft distil`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from deft import checks
from deft.commands import inputs, priors
from deft.commands.inputs import Convert, Fit, Range, Window
from deft.commands.priors import Names
from deft.errors import InvalidInput
from deft.htransforms.base import HTransform
from deft.problems import Problem, from_card
from deft.samplers.base import Sampler
from deft.samplers.dpm_solver import DPMSolver
from deft.samplers.grids import UniformLogSNR
from deft.storage import claims
from deft.storage.lock import first_process, locked
from deft.training import chain, checkpoint, places
from deft.training.distillation import EnergyScore, TrajectoryMatching
from deft.training.loop import train as train_in_place
from deft.training.plan import check_numbers
from deft.training.rollout import Rollout
from deft.training.sources import Images
from deft.training.validated import same_units, units, validated

EXAMPLE = "deft distil --h h-digits-32-box --images FOLDER --steps_to 4 --out run"
LOW, HIGH = -4.0, 6.0  # log-SNRs, chosen on digits
MOST = 100  # evaluations of the student
_SHARE, _VALIDATED = 0.05, 64  # of the images, what is held out; images of each validation
HELP = {
    "h": "the h-transform to go on from: a run folder, its h.safetensors, or one that ships (deft "
    "list)",
    "images": "clean images, as for deft train",
    "out": "the run's folder; the same command goes on from what is there",
    "steps_to": "the prior evaluations per sample that h is made for",
    "by": "'score': the energy score of samples against the truth; 'teacher': the places that "
    "--h itself reaches in --teacher_steps",
    "teacher_steps": "with --by teacher: the evaluations of the teacher (default: 20)",
    "low": "the log-SNR from which on the prior is asked, after the first time",
    "high": "the log-SNR at which it is asked last",
    "prior": "in place of the one on the card: a name, a file, a diffusers folder or a hub id",
    "validation_images": "held-out images, in the same form as --images (default: a twentieth of "
    "those)",
    "steps": "optimiser steps; each takes --batch_size images through the whole sampler, twice by "
    "a score",
    "resume": "false starts the run again",
    "allow": priors.ALLOW_HELP,
    **inputs.IMAGE_HELP,
}


def run(
    h: Path,
    images: Path,
    out: Path,
    steps_to: int = 4,
    by: Literal["score", "teacher"] = "score",
    teacher_steps: int | None = None,
    low: float = LOW,
    high: float = HIGH,
    prior: str | None = None,
    validation_images: Path | None = None,
    steps: int = 500,
    batch_size: int = 16,
    learning_rate: float = 1e-3,
    seed: int = 0,
    save_every: int = 50,
    resume: bool = True,
    convert: Convert | None = None,
    fit: Fit | None = None,
    value_range: Range | None = None,
    window: Window | None = None,
    key: str | None = None,
    slice: str | None = None,
    allow: Names | None = None,
    *,
    resolved: str = "",
) -> None:
    """Teach a learned h-transform to do with few prior evaluations what it does with many.

    Writes OUT/h.safetensors, whose card holds the sampler that it is for: deft sample and deft.load
    take that one by themselves. The run saves itself; the same command goes on from there.
    """
    if by == "score":
        inputs.unused("with --by score, which has no teacher", teacher_steps=teacher_steps)
    checks.whole("steps_to", steps_to, most=MOST, meaning="prior evaluations per sample")
    if not low < high:
        expected = f"a log-SNR below {high:g}, the one of the last evaluation (--high)"
        raise InvalidInput("low", given=low, expected=expected)
    check_numbers(
        steps=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        save_every=save_every,
    )
    inputs.apart(out, images)
    allowed, place = priors.names(allow), places.fetched(h)
    card = checkpoint.read_card(place)
    problem = _problem(place, card, allowed)
    same_units(card, window)
    source = prior or card.get("prior_from")
    if not isinstance(source, str):
        raise InvalidInput(
            "prior",
            given="nothing",
            expected="the prior of --h, whose card does not say where that is",
        )
    network = priors.opened(
        source,
        None,
        None,
        None,
        None,
        fetch=prior is not None,  # what a file names is not downloaded
        allow=allowed,
        h=place,
    )
    sampler = DPMSolver(steps_to, UniformLogSNR(high, low))
    times = sampler.times_of(network)  # refuses a grid that the schedule has not
    teacher = checkpoint.load(place, network, allow=allowed)[0]
    learned = checkpoint.load(place, network, allow=allowed)[0].trainable()
    options = {
        "convert": convert,
        "fit": fit,
        "value_range": value_range,
        "strict": False,
        "window": window,
        "problem": problem,
        "key": key,
        "slice": slice,
    }
    found = inputs.opened(images, network, **options)  # type: ignore[arg-type]
    data, held_out = inputs.parted(found, _SHARE if validation_images is None else 0.0, seed)
    if validation_images is not None:
        held_out = inputs.images(inputs.opened(validation_images, network, **options))[0]  # type: ignore[arg-type]
    objective = _objective(by, problem, sampler, teacher, teacher_steps, steps_to)
    if first := first_process():
        print(f"prior {network.name}: {network.num_parameters:,} parameters, frozen")
        grid = ", ".join(f"{float(v):.3g}" for v in network.schedule.log_snr(times))
        print(f"{type(learned).__name__} of {h}, for {steps_to} evaluations at log-SNRs {grid}")
    with locked(out):
        if first and (not resume or not (out / "config.yaml").exists()):
            claims.keep_yaml(out, resolved)
        learned.distilled_for = None
        result = train_in_place(
            learned,
            network,
            objective,
            Images(data, network),
            steps=steps,
            batch_size=batch_size,
            learning_rate=learning_rate,
            ema=0.99,
            validation=held_out,
            validation_draws=None if held_out is None else _VALIDATED,
            validate_every=max(steps // 5, 1),
            seed=seed,
            out=out,
            save_every=save_every,
            log_every=10,
            resume=resume,
        )
        if not first:  # of several processes the first one writes
            return
        claims.keep_yaml(out, resolved)
        checkpoint.save(
            out / "h.safetensors",
            learned,
            network,
            {
                "prior_from": source,
                "prior_options": card.get("prior_options"),
                "problem": problem.card(),
                "training": {
                    **result.facts(),
                    **chain.facts(place, result.seconds),
                    "batch_size": batch_size,
                    "learning_rate": learning_rate,
                    "distilled": {"by": by, "log_snr": objective.asked_at(network)},
                },
                "metrics": None if result.validation is None else result.validation.card(),
                "sampler": validated(
                    learned.eval(), network, problem, held_out, seed=seed, sampler=sampler
                ),
                "units": units(network, window or getattr(problem, "window", None)),
            },
        )
    if result.validation is not None:
        print(result.validation.table())
    print(
        f"saved {out / 'h.safetensors'}; draw samples, {steps_to} evaluations each, with: deft "
        f"sample --h {out / 'h.safetensors'} --images FOLDER --out FOLDER"
    )


def _problem(place: Path, card: dict[str, object], allowed: tuple[str, ...]) -> Problem:
    said = card.get("problem")
    if not isinstance(said, dict):
        raise InvalidInput(
            "h",
            given=f"{place}, whose card names no problem",
            expected="an h-transform of deft train",
        )
    return from_card(said, allow=allowed)


def _objective(
    by: str,
    problem: Problem,
    sampler: Sampler,
    teacher: HTransform,
    teacher_steps: int | None,
    steps_to: int,
) -> Rollout:
    if by == "score":
        return EnergyScore(problem, sampler)
    if teacher.distilled_for is not None:
        raise InvalidInput(
            "h",
            given=f"an h-transform that was distilled for {len(teacher.distilled_for)} evaluations",
            expected="with --by teacher one that was not: it does not serve other steps",
            advice="give the one that it came from, or --by score",
        )
    count = 20 if teacher_steps is None else teacher_steps
    checks.whole(
        "teacher_steps",
        count,
        least=steps_to,
        most=10_000,
        meaning="at least one in each step of --steps_to",
    )
    return TrajectoryMatching(problem, teacher, sampler, substeps=count // steps_to)
