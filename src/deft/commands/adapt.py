"""`deft adapt`: an h-transform that exists, fine-tuned on one operator in minutes."""

from __future__ import annotations

import copy
import json
from pathlib import Path

from deft import checks
from deft.commands import inputs, priors, train, training_chains
from deft.commands.inputs import Convert, Fit, Range, Window
from deft.commands.on_card import at_hand
from deft.commands.priors import Labels, Names
from deft.commands.training_numbers import check_shares
from deft.commands.untrained import loaded, objective_of
from deft.errors import InvalidInput
from deft.priors.details import Details
from deft.problems import Problem
from deft.storage.atomic import atomic
from deft.training import checkpoint, places
from deft.training.loop import train as train_in_place
from deft.training.plan import check_numbers
from deft.training.sources import Images, Source

EXAMPLE = (
    "deft adapt --h h-digits-32-any --problem Deblurring --problem.kernel motion "
    "--problem.sigma_y 0.05 --images FOLDER --out run"
)
HELP = {
    "h": "the h-transform to begin from: one that ships (deft list), a run folder, a "
    "file or a hub id",
    "problem": "what is measured from now on (deft list --kind problems)",
    "images": train.HELP["images"],
    "out": train.HELP["out"],
    "minutes": "about how long, from now; how many steps that is on this machine is measured first",
    "steps": "in place of --minutes: this many optimiser steps",
    "prior": "as in deft train; default: the one on the card of --h",
    **{
        name: train.HELP[name]
        for name in ("validation_images", "validation_share", "flip", "allow")
    },
    **priors.HELP,
    **inputs.IMAGE_HELP,
}
_TIMED = 4  # steps
_KEPT = "adapt.json"


def run(
    h: Path,
    problem: Problem,
    images: Path,
    out: Path,
    minutes: float | None = None,
    steps: int | None = None,
    prior: str | None = None,
    validation_images: Path | None = None,
    validation_share: float | None = None,
    batch_size: int = 32,
    learning_rate: float = 1e-3,
    flip: bool = False,
    seed: int = 0,
    save_every: int = 50,
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
    """Fine-tune an h-transform on the operator of one problem, in five minutes by default.

    Made for those of any linear operator (h-digits-32-any), whose first weights are good already;
    any learned h-transform may begin, also one of protein backbones, on chains (--problem
    MotifScaffolding). Writes what deft train writes; the same command goes on.
    """
    if minutes is not None and steps is not None:
        inputs.unused("with --steps", minutes=minutes)
    budget = checks.positive("minutes", 5.0 if minutes is None else minutes, "of training")
    check_shares(validation_share or 0.0, None, 0, 0)
    check_numbers(batch_size=batch_size, learning_rate=learning_rate, save_every=save_every)
    inputs.apart(out, images)
    path = places.fetched(h)
    name = prior or checkpoint.read_card(path).get("prior_from")
    if not isinstance(name, str):
        raise InvalidInput(
            f"the card of {h}",
            given="no word on where its prior comes from",
            expected="prior_from, a name or a path",
            advice="give --prior",
        )
    if prior is None:
        at_hand(name)
    if steps is None:
        steps = _steps(out, budget)
    if steps is None:
        network = priors.opened(
            name,
            labels,
            subfolder,
            schedule,
            prediction_type,
            allow=priors.names(allow),
            details=details,
            context=context,
            h=path,
        )
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
        clean: Source
        if training_chains.of_chains(network):
            training_chains.refuse(options, flip=flip)
            share = validation_share or 0.0
            clean, _ = training_chains.sources(images, validation_images, network, share)
            training_chains.check_problem(problem, clean, network, seed)
        else:
            found = inputs.opened(images, network, **options)  # type: ignore[arg-type]
            clean = Images(inputs.parted(found, validation_share or 0.0, seed)[0], network)
        learned = copy.deepcopy(loaded(path, network, None, priors.names(allow)))
        timed = train_in_place(
            learned,
            network,
            objective_of(None, problem, None),
            clean,
            steps=_TIMED,
            batch_size=batch_size,
            learning_rate=learning_rate,
            seed=seed,
            progress=False,
        )
        steps = max(round(60 * budget * _TIMED / timed.seconds), 10)
        print(f"{budget:g} minutes are about {steps} steps here")
        out.mkdir(parents=True, exist_ok=True)
        with atomic(out / _KEPT) as stream:
            stream.write(json.dumps({"minutes": budget, "steps": steps}).encode())
    train.run(
        prior=name,
        problem=problem,
        images=images,
        out=out,
        validation_images=validation_images,
        validation_share=validation_share,
        initial=path,
        steps=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        ema=0.99,
        flip=flip,
        seed=seed,
        save_every=save_every,
        convert=convert,
        fit=fit,
        value_range=value_range,
        window=window,
        strict=strict,
        key=key,
        series=series,
        slice=slice,
        labels=labels,
        subfolder=subfolder,
        schedule=schedule,
        prediction_type=prediction_type,
        details=details,
        context=context,
        allow=allow,
        resolved=resolved,
    )


def _steps(out: Path, minutes: float) -> int | None:
    """How many steps an earlier start of this run has measured, if it was for as long."""
    try:
        kept = json.loads((out / _KEPT).read_text())
        return int(kept["steps"]) if kept["minutes"] == minutes else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
