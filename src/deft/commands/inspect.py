"""`deft inspect`."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deft.commands import catalogue, foreign, inputs, priors
from deft.commands.inputs import Convert, Fit
from deft.commands.priors import Labels
from deft.commands.rows import of_tensors, printable, rows
from deft.errors import CheckpointError, InvalidInput, nearest_names
from deft.metrics.intervals import Intervals
from deft.priors import resolve, zoo
from deft.priors.base import Prior
from deft.priors.details import Details
from deft.priors.resolve import is_foreign
from deft.storage import tensors as files
from deft.storage.cards import described
from deft.storage.fingerprint import of_file
from deft.storage.table import dotted
from deft.training import checkpoint, places, state
from deft.training.validation import Validation

EXAMPLE = "deft inspect h-digits-32-inpainting"
HELP = {
    "target": "a checkpoint, of this library or of another, a training state, a prior that ships, "
    "a diffusers folder, a hub id or the address of a server of a prior; or a problem, such as "
    "Tomography",
    **priors.HELP,
    "images": "images on which to test what a foreign checkpoint does not say: the error of its "
    "denoiser at 5 noise levels, and whether another range, schedule, prediction, number of heads "
    "or order of q, k and v does better",
    **{name: inputs.IMAGE_HELP[name] for name in ("convert", "fit")},
}
POSITIONAL = True
_OWN = ("h.safetensors", "state.safetensors")


def run(
    target: str,
    labels: Labels | None = None,
    subfolder: str | None = None,
    schedule: str | None = None,
    prediction_type: str | None = None,
    details: Details | None = None,
    images: Path | None = None,
    convert: Convert | None = None,
    fit: Fit | None = None,
) -> None:
    """Say what is in a checkpoint or a prior: card, parameters, sizes, hash, schedule, losses; or
    what is wrong with it. Of a problem: its conventions.
    """
    path = Path(target)
    said = (labels, subfolder, schedule, prediction_type)
    if is_foreign(path):
        inputs.unused(f"with {target}", subfolder=subfolder)
        if images is None:
            inputs.unused(f"with {target}, unless --images are given", labels=labels)
        foreign.shown(path, details, schedule, prediction_type)
        if images is not None:
            several = [labels] if isinstance(labels, int) else labels
            said_so = (details, schedule, prediction_type)
            foreign.doubted(path, *said_so, several, images, convert, fit)
        else:
            inputs.unused("without --images", convert=convert, fit=fit)
        return
    inputs.unused(
        f"with {target}, but with a foreign checkpoint", images=images, convert=convert, fit=fit
    )
    if not target.strip():
        raise InvalidInput("TARGET", given="nothing", expected=HELP["target"])
    if (
        target in zoo.names()
        or (path.is_file() and path.suffix != ".json")
        or any((path / own).exists() for own in _OWN)
    ):
        inputs.unused(
            f"with {target}, which says itself",
            **dict(zip(("labels", "subfolder", "schedule", "prediction_type"), said)),
            details=None if details is None else "details",
        )
    if target in {cls.__name__ for cls in catalogue.classes("problems")}:
        _problem(catalogue.named("problems", target))
    elif target in zoo.names():
        _prior(zoo.FOLDER / f"{target}.safetensors", target)
    elif target in places.shipped():
        _checkpoint(zoo.FOLDER / f"{target}.safetensors")
    elif path.is_file():
        _file(path)
    elif path.is_dir() and (path / "h.safetensors").exists():
        _file(path / "h.safetensors")
    elif path.is_dir() and (path / "state.safetensors").exists():
        _file(path / "state.safetensors")
    elif path.is_dir() or ("/" in target and not path.suffix) or resolve.is_address(target):
        _any_prior(target, said, details)
    else:
        known = [
            *zoo.names(),
            *places.shipped(),
            *(cls.__name__ for cls in catalogue.classes("problems")),
        ]
        raise InvalidInput(
            f"there is nothing at {target!r}, and nothing of that name "
            f"ships{nearest_names(target, known)}"
        )


def _file(path: Path) -> None:
    if zoo.is_prior(path):
        _prior(path, str(path))
        return
    try:
        _training_state(path, files.header(path, state.KIND, state.CARD).card)
    except CheckpointError:
        _checkpoint(path)


def _checkpoint(path: Path) -> None:
    card = checkpoint.read_card(path)
    tensors, head = files.read(path, checkpoint.KIND)
    made = card.get("architecture")
    rows(
        {
            "file": path,
            "kind": checkpoint.KIND,
            "architecture": described(made),
            "problem": described(card.get("problem")),
            "prior": _line(card.get("prior")),
            "schedule": _line(card.get("schedule")),
            "training": _line(card.get("training")),
            **{
                name: _line(card[name])
                for name in ("sampler", "weight", "units")
                if card.get(name) is not None
            },
            "sha256": of_file(path),
            "hash": "verified"
            if head.sealed
            else "none: written by version 0.1, so that damage cannot be told; saving it again "
            "adds one",
        }
    )
    of_tensors(tensors)
    intervals = Intervals.of(card)
    if intervals is not None:
        print(f"\n{intervals.table()}")
    metrics = card.get("metrics")
    if isinstance(metrics, Mapping) and {"loss", "without", "bins"} <= set(metrics):
        print("\nvalidation loss by noise level:")
        print(Validation.from_card(metrics).table())


def _training_state(path: Path, card: Mapping[str, Any]) -> None:
    config, progress = card.get("config", {}), card.get("progress", {})
    rows(
        {
            "file": path,
            "kind": f"{state.KIND}: a run that can go on",
            "step": f"{progress.get('step')} of {config.get('steps')}",
            "prior": _line(config.get("prior")),
            "objective": _line(config.get("objective")),
            "sha256": of_file(path),
        }
    )


def _prior(path: Path, name: str) -> None:
    prior = zoo.load(path)
    rows(
        {
            "file": path,
            "kind": f"a prior, {type(prior).__name__}",
            "name": prior.name,
            "sha256": of_file(path),
        }
    )
    _about(prior)
    try:
        card = zoo.card(path)
    except CheckpointError as error:
        print(f"no card: {error}")
        return
    for key in ("data", "terms", "split", "training", "gate"):
        if key in card:
            print(f"{key:14} {printable(_line(card[key]))}")
    errors = card.get("held_out_denoising_error")
    if isinstance(errors, Mapping):
        of = next((name for name in ("images", "chains") if name in errors), "images")
        print(f"\nheld-out denoising error, {errors.get(of)} {of}, {errors.get('unit')}:")
        beside = [name for name in _BESIDE if name in errors["by_noise_level"][0]]
        print("log-SNR" + "".join(f"{name.replace('_', ' '):>18}" for name in ("prior", *beside)))
        for row in errors["by_noise_level"]:
            values = "".join(f"{row[name]:18.4g}" for name in ("prior", *beside))
            print(f"{row['log_snr']:7.2f}{values}")


def _any_prior(
    target: str,
    said: tuple[Labels | None, str | None, str | None, str | None],
    details: Details | None,
) -> None:
    prior = priors.described(target, *said, details=details)
    rows({"from": target, "kind": f"a prior, {type(prior).__name__}", "name": prior.name})
    _about(prior)
    taken = priors.lacking(prior)
    for name, one in taken.items():
        rows({"is told": f"{name} {one}"})
    if priors.is_distilled(prior):
        rows({"guidance": "distilled into it: its output is no mean of x_0 under a density"})
    if Path(target).is_dir():
        print("\nto fine-tune an h-transform on it:")
        print(foreign.of_folder(Path(target), *said[1:], details, taken))


def _problem(cls: type) -> None:
    """What a problem measures by default, and its conventions."""
    rows({"problem": dotted(cls), "does": catalogue.sentence(cls)})
    try:
        problem = cls()
    except TypeError:
        needed = [
            name for name, p in inspect.signature(cls).parameters.items() if p.default is p.empty
        ]
        rows({"needs": ", ".join(needed)})
        return
    rows({"by default": described(problem.card())})
    conventions = getattr(problem, "conventions", None)
    if callable(conventions):
        shape = _USUAL if inspect.signature(conventions).parameters else ()
        print(f"\nconventions{', for images of 128 x 128' if shape else ''}:")
        print(conventions(*shape))


def _about(prior: Prior) -> None:
    low, high = prior.schedule.log_snr_range
    shape, spread = "x".join(map(str, prior.event_shape)), f"standard deviation {prior.scale:.3g}"
    values = f"values in {prior.value_range}"
    if prior.codec is None:
        rows({"signals": f"{shape}, {values}, {spread}"})
    else:
        size = sum(p.numel() for p in prior.codec.parameters())
        rows({"latents": f"{shape}, {spread}"})
        rows({"signals": f"{'x'.join(map(str, prior.signal_shape))}, {values}"})
        rows({"autoencoder": f"{prior.codec.about}; {size:,} parameters"})
    rows(
        {
            "parameters": f"{prior.num_parameters:,}",
            "hash": prior.identity()["hash"],
            "predicts": prior.identity()["prediction"],
            "schedule": f"{type(prior.schedule).__name__}, log-SNR from {low:.2f} to {high:.2f}",
        }
    )


def _line(value: object) -> str:
    if isinstance(value, Mapping) and ("class" in value or "class_path" in value):
        return described(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_line(item)}" for key, item in value.items())
    return value if isinstance(value, str) else json.dumps(value)


_USUAL = ((128, 128),)
_BESIDE = ("full_wiener", "spectral_wiener", "gaussian_chain")  # what a prior is compared with
