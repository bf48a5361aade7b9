"""Checkpoints of learned h-transforms: one safetensors file with a JSON card in its metadata.

The card says what the weights are (class and configuration), for which prior (name and hash of its weights), for which problem, and how they came to be;
it can be read without torch. No pickle is ever written, and none is executed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

from torch import Tensor

from deft.errors import CheckpointError, nearest_names
from deft.htransforms.base import HTransform
from deft.priors.base import Prior
from deft.priors.zoo import FOLDER
from deft.problems import Problem
from deft.schedules import Schedule
from deft.training import state
from deft.training.files import as_recorded, read_header, read_tensors, write_tensors

FORMAT = 1
KIND = "deft h-transform"


def save(path: str | Path, h_transform: HTransform, prior: Prior, card: Mapping[str, object]) -> None:
    """Write an h-transform. `card` adds to what is recorded of itself (format, architecture, prior, schedule): `problem`, `training`, `metrics`.

    The file is replaced in one step. Raises `CheckpointError` where the disk is full; an earlier file is then intact.
    """
    own = {
        "format": FORMAT,
        "architecture": architecture(h_transform),
        "prior": prior.identity(),
        "schedule": schedule_card(prior.schedule),
    }
    write_tensors(Path(path), h_transform.state_dict(), {**_plain(card), **_plain(own)}, KIND)


def load(path: str | Path, prior: Prior, *, problem: Problem | None = None) -> tuple[HTransform, dict[str, object]]:
    """The h-transform in a file, on the prior's device, and its card.

    Raises `CheckpointError` where the file was made for another prior, or for another problem than the one given, or is damaged.
    """
    path = Path(path)
    card = read_card(path)
    _check_prior(path, card, prior)
    if problem is not None:
        check_problem(path, card, problem)
    h_transform = _build(path, card, prior)
    try:
        h_transform.load_state_dict(read_tensors(path))
    except RuntimeError as error:
        raise CheckpointError(f"the weights in {path} do not fit the architecture on its card: {error}") from error
    return h_transform.to(prior.device), card


def shipped() -> list[str]:
    """The names of the h-transforms that ship."""
    return sorted(path.stem for path in FOLDER.glob("h-*.safetensors"))


def located(place: str | Path) -> Path:
    """The file of an h-transform: of a run folder, of one that ships, by its name, or the file itself.

    Raises `CheckpointError` where there is nothing, with the names of what ships that are near.
    """
    path = Path(place)
    if path.is_dir():
        return path / "h.safetensors"
    if path.exists():
        return path
    if str(place) in shipped():
        return FOLDER / f"{place}.safetensors"
    raise CheckpointError(f"{path} does not exist, and no h-transform of that name ships (deft list){nearest_names(str(place), shipped())}")


def load_average(path: str | Path, prior: Prior) -> HTransform:
    """The averaged weights in the state of a run that has not ended, such as one that diverged: what another run may start from.

    Raises `CheckpointError` where the file is no such state, is damaged, or was made for another prior.
    """
    path = Path(path)
    config = read_header(path, state.KIND).get("config")
    config = config if isinstance(config, Mapping) else {}
    card = {"prior": config.get("prior"), "architecture": config.get("h_transform")}
    _check_prior(path, card, prior)
    h_transform = _build(path, card, prior)
    try:
        state.restore_average(read_tensors(path), h_transform)
    except (RuntimeError, KeyError) as error:
        raise CheckpointError(f"the weights in {path} do not fit the architecture on its card: {error}") from error
    return h_transform.to(prior.device)


def read_card(path: str | Path) -> dict[str, object]:
    """The card alone; no weight is read."""
    card = read_header(Path(path), KIND)
    version = card.get("format")
    if not isinstance(version, int) or version > FORMAT:
        raise CheckpointError(f"{path} has format {version} and this version of the library reads up to {FORMAT}; update deft-diffusion.")
    return card


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a foreign file: safetensors, or a .pt file, of which weights alone are read and no code is executed."""
    path = Path(path)
    if not path.exists():
        raise CheckpointError(f"{path} does not exist.")
    if path.suffix == ".safetensors":
        return read_tensors(path)
    import torch

    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the unpickler raises many kinds
        raise CheckpointError(
            f"{path} is damaged, or holds more than weights, which is not executed: {str(error).splitlines()[0] if str(error) else error!r}"
        ) from error
    while isinstance(content, dict) and not any(isinstance(value, Tensor) for value in content.values()):
        inside = [name for name in ("state_dict", "model", "ema", "params") if isinstance(content.get(name), dict)]
        if not inside:
            break
        content = content[inside[0]]
    if not isinstance(content, dict) or not content or not all(isinstance(value, Tensor) for value in content.values()):
        found = ", ".join(map(str, content)) if isinstance(content, dict) else type(content).__name__
        raise CheckpointError(f"{path} holds no dictionary of tensors, nor one under state_dict, model, ema or params; it holds {found}.")
    return content


def check_problem(path: str | Path, card: Mapping[str, object], problem: Problem) -> None:
    """Raise `CheckpointError` where the file was trained for another problem."""
    theirs, ours = card.get("problem"), _plain(problem.card())
    if theirs != (as_recorded(ours, theirs) if isinstance(theirs, Mapping) else ours):
        raise CheckpointError(
            f"{path} was trained for {describe(theirs)}; it was asked to serve {describe(ours)}. Train one for this problem."
        )


def describe(card: object) -> str:
    """`class(name=value, ...)` for a card of a class, JSON for anything else."""
    if isinstance(card, Mapping) and "class_path" in card:
        arguments = card.get("init_args")
        inside = ", ".join(f"{k}={_described(v)}" for k, v in arguments.items()) if isinstance(arguments, Mapping) else ""
        return f"{str(card['class_path']).rsplit('.', 1)[-1]}({inside})"
    return "an unnamed problem" if card is None else json.dumps(card)


def _described(value: object) -> object:
    return describe(value) if isinstance(value, Mapping) and "class_path" in value else value


def architecture(h_transform: HTransform) -> dict[str, object]:
    """The class of an h-transform and the arguments that build it; `scale` is the prior's and comes with the weights."""
    config = getattr(h_transform, "config", None)
    if config is None:
        raise CheckpointError(
            f"{type(h_transform).__name__} has no `config` (the arguments that build it), so that it could not be loaded again."
        )
    arguments = {name: architecture(value) if isinstance(value, HTransform) else value for name, value in config.items()}
    return {"class_path": f"{type(h_transform).__module__}.{type(h_transform).__qualname__}", "init_args": arguments}


def schedule_card(schedule: Schedule) -> dict[str, object]:
    """The class of a schedule, and its range of log-SNR."""
    return {"class_path": f"{type(schedule).__module__}.{type(schedule).__qualname__}", "log_snr_range": list(schedule.log_snr_range)}


def _check_prior(path: Path, card: Mapping[str, object], prior: Prior) -> None:
    theirs, ours = card.get("prior"), _plain(prior.identity())
    if not isinstance(theirs, Mapping) or any(theirs.get(key) != ours.get(key) for key in ("hash", "event_shape")):
        theirs = theirs if isinstance(theirs, Mapping) else {}
        raise CheckpointError(
            f"{path} was trained for the prior {theirs.get('name')} (hash {theirs.get('hash')}, shape {theirs.get('event_shape')}); "
            f"the prior given is {ours.get('name')} (hash {ours.get('hash')}, shape {ours.get('event_shape')}). Give that prior, or train an h-transform for this one."
        )


def _build(path: Path, card: Mapping[str, object], prior: Prior) -> HTransform:
    return _made(path, card.get("architecture"), prior)


def _made(path: Path, made: object, prior: Prior) -> HTransform:
    if not isinstance(made, Mapping) or not isinstance(made.get("class_path"), str) or not isinstance(made.get("init_args"), Mapping):
        raise CheckpointError(f"the card of {path} names no architecture; it is damaged.")
    module, _, name = made["class_path"].rpartition(".")
    try:
        found = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise CheckpointError(f"{path} holds a {made['class_path']}, which cannot be imported here; install what defines it.") from error
    if not (isinstance(found, type) and issubclass(found, HTransform)):
        raise CheckpointError(f"{path} names {made['class_path']} as its architecture, which is no h-transform.")
    arguments = {
        key: _made(path, value, prior) if isinstance(value, Mapping) and "class_path" in value else value
        for key, value in made["init_args"].items()
    }
    try:
        return found(scale=prior.scale, **arguments)
    except TypeError as error:
        raise CheckpointError(f"{path} was made by another version of {name}: {error}.") from error


def _plain(card: Mapping[str, object]) -> dict[str, object]:
    """The card as JSON gives it back: tuples become lists."""
    return json.loads(json.dumps(dict(card)))
