"""The small priors that ship with the library, and files of the same kind.

    weights/<name>.safetensors
        weights in half precision, the mean and the variances in single; the card in the metadata,
            sealed by a hash (deft.storage.tensors)

The card says what builds the network (`architecture`), and what is known of it: data and its terms,
training, held-out denoising error by noise level beside that of Wiener filters. How those that ship
were made is in `recipes/`. A prior of one's own is saved and loaded in the same way:
`save("mine.safetensors", prior)`. Version 0.1 kept the card as JSON beside the file, which is still
read.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import torch

from deft.errors import CheckpointError, DeftError, InvalidInput, nearest_names
from deft.priors.equivariant_backbone import EquivariantBackbone
from deft.priors.precision import PRECISIONS, chosen
from deft.priors.unet import UNetPrior
from deft.schedules import Schedule
from deft.storage import cards, tensors
from deft.storage.bounded_json import LARGEST, parsed
from deft.storage.compound_fields import Object, OneOf, Part, Plain
from deft.storage.table import modern

KIND = "deft prior"
CARD = Object(
    {"architecture": OneOf((Part(("prior",)), Plain())), "facts": Object({}, open=True)},
    ("architecture",),
    open=True,
)
_SINGLE = (
    "gaussian.mean",
    "gaussian.variance",
    "gain",
    "spectrum",
)  # variances of 1e-6 and less have no place in half precision
Small: TypeAlias = UNetPrior | EquivariantBackbone
FOLDER = Path(__file__).parent.parent / "weights"


def names() -> list[str]:
    """The priors that ship."""
    return sorted(
        path.stem for path in FOLDER.glob("*.safetensors") if not path.stem.startswith("h-")
    )


def load(name: str | Path, *, precision: str = "fp32") -> Small:
    """A prior that ships, by name, or one that `save` wrote, by path; frozen, its network computing
    in `precision`: "fp32", "bf16", or "auto", the faster one, which is measured and printed.

    Raises `InvalidInput` for an unknown name or precision and `CheckpointError` for a file that is
    damaged or something else.
    """
    if precision not in PRECISIONS:
        raise InvalidInput("precision", given=precision, expected=f"one of {', '.join(PRECISIONS)}")
    path = _path(name)
    weights, head = tensors.read(path, KIND, CARD)
    try:
        card, given = _architecture(head.card)
        with torch.device("meta"):  # no file can ask for more memory than it holds
            empty = cards.build(card, "prior", where="architecture", given=given)
        wanted = {key: tuple(value.shape) for key, value in empty.state_dict().items()}
        wrong = sorted(
            key for key in {*wanted, *head.shapes} if wanted.get(key) != head.shapes.get(key)
        )
        if wrong:
            raise InvalidInput(
                f"architecture: {wrong[0]}",
                given=head.shapes.get(wrong[0], "nothing"),
                expected=f"{wanted.get(wrong[0], 'nothing')}",
            )
        prior: Small = cards.build(card, "prior", where="architecture", given=given)
        prior.load_state_dict({key: value.float() for key, value in weights.items()})
    except DeftError as error:
        raise CheckpointError(
            f"the weights in {path} do not fit the architecture that it names: {error.what}",
            given=error.given,
            expected=error.expected,
            advice=error.advice,
        ) from error
    except (KeyError, TypeError, ValueError, RuntimeError, IndexError) as error:
        raise CheckpointError(
            f"the weights in {path} do not fit the architecture that it names: {error}"
        ) from error
    prior = prior.frozen()
    prior.precision = chosen(prior, precision)
    return prior


def save(path: str | Path, prior: Small, card: Mapping[str, object] | None = None) -> None:
    """Write a prior with its card; the file is replaced in one step. Raises `CheckpointError` where
    weights are not finite, or the disk refuses.
    """
    path = Path(path)
    half = {
        key: value.detach().cpu().to(torch.float32 if key in _SINGLE else torch.float16)
        for key, value in prior.state_dict().items()
    }
    tensors.finite(path, half)
    arguments = {**prior.config, "schedule": schedule_card(prior.schedule), "name": prior.name}
    facts = {
        "name": prior.name,
        "parameters": prior.num_parameters,
        **prior.identity(),
        **(card or {}),
    }
    tensors.write(
        path,
        half,
        {"architecture": cards.card_of(prior, arguments), "facts": cards.plain(facts)},
        KIND,
    )


def card(name: str | Path) -> dict[str, Any]:
    """What is recorded of a prior. Raises `CheckpointError` for a file without a card."""
    path = _path(name)
    if path.is_file():
        facts = tensors.header(path, KIND, CARD).card.get("facts")
        if isinstance(facts, dict):
            return facts
    beside = path.with_suffix(".json")  # of version 0.1
    try:
        if beside.stat().st_size > LARGEST:
            raise CheckpointError(
                f"{beside}",
                given=f"{beside.stat().st_size} bytes",
                expected=f"a card of at most {LARGEST}",
            )
        found = parsed(beside.read_bytes(), str(beside))
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{path} has no card: neither within, nor {beside} beside it."
        ) from error
    except OSError as error:
        raise CheckpointError(f"{beside} cannot be read ({error.strerror or error}).") from error
    except InvalidInput as error:
        raise CheckpointError(
            error.what, given=error.given, expected=error.expected, advice=error.advice
        ) from error
    if not isinstance(found, dict):
        raise CheckpointError(f"{beside}", given=found, expected="an object")
    return found


def is_prior(path: str | Path) -> bool:
    """Whether a file is a safetensors file that `save` wrote."""
    try:
        return tensors.kind_of(path) == KIND
    except CheckpointError:
        return False


def schedule_card(schedule: Schedule) -> dict[str, object]:
    """The class of a schedule and the arguments that build it."""
    return cards.card_of(
        schedule,
        {key: getattr(schedule, key) for key in inspect.signature(type(schedule)).parameters},
    )


def _path(name: str | Path) -> Path:
    path = Path(name)
    if path.suffix == ".safetensors":
        return path
    if str(name) not in names():
        raise InvalidInput(
            f"no prior {str(name)!r} ships; those that do: "
            f"{', '.join(names()) or 'none'}{nearest_names(str(name), names())}"
        )
    return FOLDER / f"{name}.safetensors"


def _architecture(card: Mapping[str, Any]) -> tuple[object, dict[str, object]]:
    """What builds the network, as a card, whichever version wrote it, and the schedule that goes
    with it.
    """
    made = modern(card["architecture"])
    if (
        isinstance(made, Mapping)
        and "class" not in made
        and isinstance(made.get("init_args"), Mapping)
    ):  # version 0.1
        made = {
            "class": "UNetPrior",
            "args": {
                **made["init_args"],
                "schedule": made.get("schedule"),
                "name": made.get("name"),
            },
        }
    if (
        not isinstance(made, Mapping)
        or not isinstance(made.get("args"), Mapping)
        or "schedule" not in made["args"]
    ):
        raise InvalidInput(
            "architecture",
            given=made,
            expected='an object {"class": NAME, "args": {...}} with a schedule',
        )
    schedule = cards.build(made["args"]["schedule"], "schedule", where="schedule")
    return {
        **made,
        "args": {name: value for name, value in made["args"].items() if name != "schedule"},
    }, {"schedule": schedule}
