"""The small priors that ship with the library, and files of the same kind.

    weights/<name>.safetensors    weights in half precision, the mean and the variances in single; the architecture in the metadata
    weights/<name>.json           the card: data and its terms, training, held-out denoising error by noise level beside that of Wiener filters

How they were made is in `recipes/`. A prior of one's own is saved and loaded in the same way: `save("mine.safetensors", prior)`.
"""

from __future__ import annotations

import inspect
import json
import os
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

import torch

from deft.errors import CheckpointError, InvalidInput, nearest_names
from deft.priors.unet import UNetPrior
from deft.schedules import Schedule

KIND = "deft prior"
_SINGLE = ("gaussian.mean", "gaussian.variance", "gain")  # variances of 1e-6 and less have no place in half precision
FOLDER = Path(__file__).parent.parent / "weights"


def names() -> list[str]:
    """The priors that ship."""
    return sorted(
        path.stem for path in FOLDER.glob("*.safetensors") if path.with_suffix(".json").exists() and not path.stem.startswith("h-")
    )


def load(name: str | Path, *, precision: str = "fp32") -> UNetPrior:
    """A prior that ships, by name, or one that `save` wrote, by path; frozen, its network computing in `precision`.

    Raises `InvalidInput` for an unknown name or precision and `CheckpointError` for a file that is damaged or something else.
    """
    if precision not in ("fp32", "bf16"):
        raise InvalidInput(f"precision is 'fp32' or 'bf16'; got {precision!r}.")
    path = _path(name)
    architecture = _architecture(path)
    try:
        arguments = dict(architecture["init_args"])
        arguments["value_range"] = None if arguments["value_range"] is None else tuple(arguments["value_range"])
        prior = UNetPrior(schedule=_schedule(architecture["schedule"]), name=architecture["name"], **arguments)
        prior.load_state_dict(_tensors(path))
        prior.precision = precision
    except (KeyError, TypeError, RuntimeError) as error:
        raise CheckpointError(f"the weights in {path} do not fit the architecture that it names: {error}") from error
    return prior.frozen()


def save(path: str | Path, prior: UNetPrior, card: Mapping[str, object] | None = None) -> None:
    """Write a prior, and its card as JSON beside it; the file is replaced in one step."""
    from safetensors.torch import save as to_bytes

    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    architecture = {"name": prior.name, "init_args": prior.config, "schedule": _schedule_card(prior.schedule)}
    half = {
        key: value.detach().cpu().to(torch.float32 if key in _SINGLE else torch.float16).contiguous()
        for key, value in prior.state_dict().items()
    }
    content = to_bytes(half, metadata={"kind": KIND, "architecture": json.dumps(architecture)})
    _replace(path, content)
    facts = {"name": prior.name, "parameters": prior.num_parameters, **prior.identity(), **(card or {})}
    _replace(path.with_suffix(".json"), (json.dumps(facts, indent=2) + "\n").encode())


def card(name: str | Path) -> dict[str, object]:
    """What is recorded of a prior."""
    path = _path(name).with_suffix(".json")
    try:
        return json.loads(path.read_text())
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} does not exist: this prior has no card.") from error
    except ValueError as error:
        raise CheckpointError(f"{path} is no JSON: {error}.") from error


def is_prior(path: str | Path) -> bool:
    """Whether a file is a safetensors file that `save` wrote; its weights are not read."""
    try:
        _architecture(Path(path))
    except CheckpointError:
        return False
    return True


def _path(name: str | Path) -> Path:
    path = Path(name)
    if path.suffix == ".safetensors":
        return path
    if str(name) not in names():
        raise InvalidInput(
            f"no prior {str(name)!r} ships; those that do: {', '.join(names()) or 'none'}{nearest_names(str(name), names())}"
        )
    return FOLDER / f"{name}.safetensors"


def _architecture(path: Path) -> dict:
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise CheckpointError(f"{path} does not exist.")
    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{path} is truncated or no safetensors file: {error}. Copy it again from where it came from.") from error
    if metadata.get("kind") != KIND:
        raise CheckpointError(
            f"{path} is a safetensors file but no prior of this library: it is a {metadata.get('kind', 'file of unknown kind')}."
        )
    try:
        return json.loads(metadata["architecture"])
    except (KeyError, ValueError) as error:
        raise CheckpointError(f"{path} calls itself a {KIND} but its architecture cannot be read; it is damaged.") from error


def _tensors(path: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return {key: value.float() for key, value in load_file(str(path)).items()}


def _schedule_card(schedule: Schedule) -> dict[str, object]:
    arguments = {key: getattr(schedule, key) for key in inspect.signature(type(schedule)).parameters}
    plain = {key: value.tolist() if isinstance(value, torch.Tensor) else value for key, value in arguments.items()}
    return {"class_path": f"{type(schedule).__module__}.{type(schedule).__qualname__}", "init_args": plain}


def _schedule(card: Mapping) -> Schedule:
    module, _, name = str(card["class_path"]).rpartition(".")
    try:
        found = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise CheckpointError(f"the schedule {card['class_path']} cannot be imported here; install what defines it.") from error
    if not (isinstance(found, type) and issubclass(found, Schedule)):
        raise CheckpointError(f"{card['class_path']} is no schedule.")
    return found(**card["init_args"])


def _replace(path: Path, content: bytes) -> None:
    beside = path.with_name(f".{path.name}.partial")
    try:
        beside.write_bytes(content)
        os.replace(beside, path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise CheckpointError(f"{path} could not be written ({error.strerror or error}).") from error
