"""`deft conformal`."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any, Literal

from torch.utils.data import Dataset

from deft.commands import functionals as own
from deft.commands import inputs, priors
from deft.commands.inputs import Convert, Fit, Range, Window
from deft.commands.methods import DEFT
from deft.commands.priors import Labels, Names
from deft.errors import InvalidInput, at_least_one
from deft.priors.details import Details
from deft.problems import Problem, from_card
from deft.samplers.base import Sampler
from deft.samplers.dpm_solver import DPMSolver
from deft.storage import tensors
from deft.storage.lock import locked
from deft.studies.conformal import LEVEL, RECORD, SHARE, calibrate
from deft.training import checkpoint, places
from deft.training.validated import same_units, sampler_of

Groups = Literal["images", "folders", "patients"]

EXAMPLE = "deft conformal --h h-digits-32-box --images FOLDER --out calibrated"
HELP = {
    "h": "a learned h-transform: the run folder of deft train, its h.safetensors, or the name of "
    "one that ships (deft list)",
    "images": "clean images to calibrate on, like those that you will measure; not those that h "
    "was trained on",
    "out": "where the copy of h with its intervals goes (--h of deft sample, deft evaluate); the "
    "same command goes on from what is there",
    "level": "the share of truths that intervals hold, on average",
    "samples": "per image; intervals then hold for so many samples and for fewer",
    "sampler": "default: the one on the card of --h",
    "steps": "evaluations of the prior per sample, with DPMSolver; default: as on the card",
    "problem": "default: the one on the card of --h",
    "prior": "as in deft train; default: the one on the card of --h",
    "threshold": "a share of the range: pixels whose samples deviate more are uncertain",
    "groups": "what is independent: images; folders, of which each holds the images of one "
    "patient or scene; or patients, for CT slices that say whose they are; default: patients "
    "where they are known",
    "functionals": own.HELP,
    "limit": "the first few images only",
    "batch_size": "signals denoised at once; changes no result",
    "allow": priors.ALLOW_HELP,
    **priors.HELP,
    **inputs.IMAGE_HELP,
}


def run(
    h: Path,
    images: Path,
    out: Path,
    level: float = LEVEL,
    samples: int = 8,
    sampler: Sampler | None = None,
    steps: int | None = None,
    problem: Problem | None = None,
    prior: str | None = None,
    threshold: float = SHARE,
    groups: Groups | None = None,
    functionals: Path | None = None,
    seed: int = 0,
    batch_size: int = 64,
    limit: int | None = None,
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
) -> None:
    """Calibrate intervals that hold on average, from images of your own.

    Draws samples of every image, and computes by how much their spread must be widened. Writes
    OUT/h.safetensors, a copy of h with these factors on its card; deft sample and deft evaluate
    then give intervals. They hold on average over images like these, not for one of them.
    """
    if sampler is not None:
        inputs.unused("with --sampler, which has its own (--sampler.steps)", steps=steps)
    at_least_one({"batch_size": batch_size, "limit": limit})
    source = places.fetched(h)
    inputs.apart(out, images)
    _not_over(out, source)
    card = checkpoint.read_card(source)
    same_units(card, window)
    name = prior or card.get("prior_from")
    if not isinstance(name, str):
        raise InvalidInput(
            f"the card of {source}",
            given="a card that does not say where its prior comes from",
            expected="prior_from, a name or a path",
            advice="give --prior",
        )
    said = card.get("problem")
    if problem is None and said is None:
        raise InvalidInput(
            f"the problem on the card of {source}",
            given="nothing",
            expected="the problem that it was trained on",
            advice="give --problem",
        )
    allowed = priors.names(allow)
    network = priors.opened(
        name,
        labels,
        subfolder,
        schedule,
        prediction_type,
        fetch=prior is not None,  # what a file names is not downloaded
        allow=allowed,
        details=details,
        context=context,
        h=source,
    )
    problem = problem or from_card(said, allow=allowed)
    drawn_by = sampler or (sampler_of(card) if steps is None else DPMSolver(steps=steps))
    recipe = DEFT(source, drawn_by)
    recipe.allow = allowed
    found = inputs.opened(
        images,
        network,
        convert=convert,
        fit=fit,
        value_range=value_range,
        strict=strict,
        window=window,
        problem=problem,
        key=key,
        series=series,
        slice=slice,
    )
    truth, _ = inputs.images(found, limit)
    unit, units = _units(found, groups, len(truth))
    shape = tuple(network.signal_shape)
    weighed = None if functionals is None else own.read(functionals, shape)
    with locked(out):
        intervals = calibrate(
            network.take(range(len(truth))),
            problem,
            truth,
            recipe.build("DEFT", network, problem),
            out=out,
            level=level,
            samples=samples,
            threshold=threshold,
            units=units,
            unit=unit,
            functionals=weighed,
            seed=seed,
            batch_size=batch_size,
        )
        weights, _ = tensors.read(source, checkpoint.KIND)
        made = {**card, "conformal": intervals.card()}
        tensors.write(out / "h.safetensors", weights, made, checkpoint.KIND)
    print(intervals.table())
    print(f"saved {out / 'h.safetensors'}; deft sample --h {out} gives intervals with every answer")


def _not_over(out: Path, source: Path) -> None:
    """Raise where the copy would replace an h-transform that is no such copy."""
    there = out / "h.safetensors"
    if there.exists() and not (out / RECORD).exists():
        same = there.resolve() == source.resolve()
        raise InvalidInput(
            "--out",
            given=f"{out}, {'the folder of --h itself' if same else 'which holds another h'}",
            expected="a folder of its own, for the copy of h",
            advice="name a new folder",
        )


def _units(
    data: Dataset[Any], groups: Groups | None, count: int
) -> tuple[str, list[Hashable] | None]:
    """What is independent, in words, and that of each image; None for images themselves."""
    patients = getattr(data, "patients", None)
    if groups == "patients" and patients is None:
        raise InvalidInput(
            "--groups",
            given="patients",
            expected="images that say whose they are, as DICOM slices do",
            advice="--groups folders, where each folder holds the images of one",
        )
    if groups == "folders":
        files = getattr(data, "files", None)
        if files is None:
            raise InvalidInput(
                "--groups",
                given="folders",
                expected="a folder of images, in folders",
                advice="leave --groups out",
            )
        return "folder", [str(file.parent) for file in files[:count]]
    if patients is not None and groups != "images":
        return "patient", list(patients[:count])
    return "image", None
