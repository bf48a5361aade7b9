"""Checkpoints of learned h-transforms: one sealed safetensors file with a JSON card in its metadata
(deft.storage.tensors).

The card says what the weights are (class and arguments), for which prior (name and hash of its
weights), for which problem, and how they came to be; it can be read without torch. A file is safe
to open, whoever wrote it: classes go by public names (deft.storage.cards), and sizes are checked
before anything is allocated.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deft.errors import CheckpointError, DeftError, InvalidInput
from deft.htransforms.base import HTransform
from deft.htransforms.trained import distilled_for, told_for
from deft.metrics import intervals
from deft.metrics.alarm.reference import REFERENCE
from deft.priors.base import Prior
from deft.priors.identity import is_nameless, same_identity
from deft.problems import Problem
from deft.schedules import Schedule
from deft.storage import cards, headers, provenance, tensors
from deft.storage.cards import Allow
from deft.storage.compound_fields import Items, Object, OneOf, Part, Plain
from deft.storage.fields import Nothing, Real, Text, Whole
from deft.storage.table import modern, public_name
from deft.training import codec_error, prior_told, state
from deft.training.places import KIND as KIND
from deft.training.suited import check_problem
from deft.training.validated import PUBLISHED, SAMPLER, UNITS

FORMAT = headers.FORMAT

_BIN = Object(
    {"low": Real(), "high": Real(), "count": Whole(0), "loss": Real(), "without": Real()},
    ("low", "high", "count", "loss", "without"),
)
_METRICS = Object({"loss": Real(), "without": Real(), "bins": Items(_BIN, most=1000)}, open=True)
_PRIOR = Object(
    {
        "name": Text(200),
        "hash": OneOf((Text(128), Nothing())),
        "event_shape": Items(Whole(1), 1, 8),
    },
    ("event_shape",),
    open=True,
)
CARD = Object(
    {
        "format": Whole(1),
        "architecture": Part(("h-transform",)),
        "prior": _PRIOR,
        "prior_from": OneOf((Text(), Nothing())),
        "prior_options": prior_told.OPTIONS,
        "schedule": Plain(),
        "problem": OneOf((Part(("problem",)), Nothing())),
        "training": OneOf((Object({}, open=True), Nothing())),
        "metrics": OneOf((_METRICS, Nothing())),
        "sampler": OneOf((SAMPLER, Nothing())),
        "weight": OneOf((Real(low=1e-6, high=1e6), Nothing())),
        "units": OneOf((UNITS, Nothing())),
        "codec": OneOf((codec_error.CODEC, Nothing())),
        "conformal": OneOf((intervals.CARD, Nothing())),
        "alarm": OneOf((REFERENCE, Nothing())),
        "published": OneOf((PUBLISHED, Nothing())),
    },
    ("architecture", "prior"),
    open=True,
)
"""What the card of an h-transform may hold."""


def save(
    path: str | Path, h_transform: HTransform, prior: Prior, card: Mapping[str, object]
) -> None:
    """Write an h-transform. `card` adds to what is recorded of itself (format, architecture, prior,
    schedule, and beside the weights what the prior was told): `problem`, `training`, `metrics`,
    `sampler`, `units` (deft.training.validated), `prior_options` (deft.training.prior_told).

    The file is replaced in one step. Raises `CheckpointError` where the disk is full (an earlier
    file is then intact), and where weights are not finite.
    """
    own = {
        "architecture": architecture(h_transform),
        "prior": prior.identity(),
        "schedule": schedule_card(prior.schedule),
        "versions": provenance.versions(),
        **codec_error.on_card(prior),
    }
    weights = prior_told.written(h_transform.state_dict(), prior)
    tensors.finite(Path(path), weights)
    tensors.write(Path(path), weights, modern(cards.plain({**card, **own})), KIND)  # type: ignore[arg-type]


def load(
    path: str | Path, prior: Prior, *, problem: Problem | None = None, allow: Allow = ()
) -> tuple[HTransform, dict[str, object]]:
    """The h-transform in a file, on the prior's device, and its card. The prior's codec, where it
    has one, takes the error on the card (deft.training.codec_error).

    `allow` names modules of the user's own that the file may name. Raises `CheckpointError` where
    the file was made for another prior, or for another problem than the one given, is damaged,
    holds weights that are not finite, or names a class that is neither this library's nor allowed.
    """
    path = Path(path)
    card = read_card(path)
    _check_prior(path, card, prior)
    if problem is not None:
        check_problem(path, card, problem)
    held, head = tensors.read(path, KIND, CARD)
    weights = prior_told.weights_of(held)
    shapes = {name: head.shapes[name] for name in weights}
    h_transform = _build(path, card, prior, shapes, allow)
    try:
        h_transform.load_state_dict(weights)
    except RuntimeError as error:
        raise CheckpointError(
            f"the weights in {path} do not fit the architecture on its card: {error}"
        ) from error
    h_transform.trained_sigma_y = told_for(card)
    h_transform.distilled_for = distilled_for(card)
    codec_error.told(prior, card)
    return h_transform.to(prior.device), card


def load_average(path: str | Path, prior: Prior, *, allow: Allow = ()) -> HTransform:
    """The averaged weights in the state of a run that has not ended, such as one that diverged:
    what another run may start from.

    Raises `CheckpointError` where the file is no such state, is damaged, or was made for another
    prior.
    """
    path = Path(path)
    head = tensors.header(path, state.KIND, state.CARD)
    config = modern(head.card.get("config"))
    config = config if isinstance(config, Mapping) else {}
    card = {"prior": config.get("prior"), "architecture": config.get("h_transform")}
    _check_prior(path, card, prior)
    weights, _ = tensors.read(path, state.KIND, state.CARD)
    shapes = {
        name.removeprefix("h."): shape
        for name, shape in head.shapes.items()
        if name.startswith("h.")
    }
    h_transform = _build(path, card, prior, shapes, allow)
    try:
        state.restore_average(weights, h_transform)
    except (RuntimeError, KeyError) as error:
        raise CheckpointError(
            f"the weights in {path} do not fit the architecture on its card: {error}"
        ) from error
    return h_transform.to(prior.device)


def read_card(path: str | Path) -> dict[str, object]:
    """The card alone, with public names whichever version wrote it; no tensor is built. The hash of
    the file is verified.
    """
    path = Path(path)
    head = tensors.header(path, KIND)
    card = cards.noted(head.card, str(path))
    try:
        CARD.check("card", card)
    except InvalidInput as error:
        raise _of(path, error) from error
    return card  # type: ignore[return-value]


def architecture(h_transform: HTransform) -> dict[str, object]:
    """The card of an h-transform: its class and the arguments that build it; `scale` is the prior's
    and comes with the weights.
    """
    config = getattr(h_transform, "config", None)
    if config is None:
        raise CheckpointError(
            f"{type(h_transform).__name__} has no `config` (the arguments that build it), so that "
            "it could not be loaded again."
        )
    return cards.card_of(
        h_transform,
        {
            name: architecture(value) if isinstance(value, HTransform) else value
            for name, value in config.items()
        },
    )


def schedule_card(schedule: Schedule) -> dict[str, object]:
    """The class of a schedule, and its range of log-SNR."""
    return {"class": public_name(type(schedule)), "log_snr_range": list(schedule.log_snr_range)}


def _check_prior(path: Path, card: Mapping[str, Any], prior: Prior) -> None:
    theirs, ours = card.get("prior"), cards.plain(prior.identity())
    assert isinstance(ours, Mapping)
    theirs = theirs if isinstance(theirs, Mapping) else {"hash": "unknown"}
    different = same_identity(theirs, ours)
    if different:
        raise CheckpointError(
            f"{path} was trained for the prior {theirs.get('name')} (hash {theirs.get('hash')}, "
            f"shape {theirs.get('event_shape')}); "
            f"the prior given is {ours.get('name')} (hash {ours.get('hash')}, shape "
            f"{ours.get('event_shape')}): {'; '.join(different)}. "
            "Give that prior, or train an h-transform for this one."
        )
    if is_nameless(theirs):
        warnings.warn(
            f"{path} is tied to no prior: the one that it was trained for, {theirs.get('name')}, "
            "has no weights and was given no identity, so that nobody can tell whether this is "
            "the same; CallablePrior(..., identity='name and version') says which one it is.",
            stacklevel=4,
        )


def _build(
    path: Path,
    card: Mapping[str, Any],
    prior: Prior,
    shapes: Mapping[str, tuple[int, ...]],
    allow: Allow,
) -> HTransform:
    """The h-transform of a card, which the weights fit: it is built without memory first, so that
    no file can ask for more than it holds.
    """
    made, given = card.get("architecture"), {"scale": prior.scale}
    try:
        cards.check(made, ("h-transform",), cards.names(allow), "architecture")
        if isinstance(made, Mapping) and made["class"] in cards.LEARNED:
            _check_signals(made, prior, "architecture")
            _check_shapes(path, made, given, shapes, allow)
        result: HTransform = cards.build(
            made, "h-transform", allow=allow, where="architecture", given=given
        )
        return result
    except InvalidInput as error:
        raise _of(path, error) from error
    except (TypeError, ValueError, IndexError) as error:
        raise CheckpointError(
            f"the architecture on the card of {path} cannot be built: {error}."
        ) from error


def _check_signals(made: Mapping[str, Any], prior: Prior, where: str) -> None:
    """Raise where an architecture is for other signals than the prior's: what it computes of their
    shape would have no bound.
    """
    for name, value in (made.get("args") or {}).items():
        if name == "event_shape" and list(value) != list(prior.event_shape):
            raise InvalidInput(
                f"{where}.event_shape",
                given=value,
                expected=f"{list(prior.event_shape)}, that of the prior",
            )
        if isinstance(value, Mapping) and "class" in value:
            _check_signals(value, prior, f"{where}.{name}")


def _check_shapes(
    path: Path,
    made: object,
    given: Mapping[str, object],
    shapes: Mapping[str, tuple[int, ...]],
    allow: Allow,
) -> None:
    import torch

    with torch.device("meta"):
        empty = cards.build(made, "h-transform", allow=allow, where="architecture", given=given)
    expected = {name: tuple(value.shape) for name, value in empty.state_dict().items()}
    if expected != shapes:
        wrong = sorted(
            name for name in {*expected, *shapes} if expected.get(name) != shapes.get(name)
        )
        raise CheckpointError(
            f"the weights in {path} do not fit the architecture on its card",
            given="; ".join(f"{name} {shapes.get(name, 'nothing')}" for name in wrong[:5]),
            expected="; ".join(f"{name} {expected.get(name, 'nothing')}" for name in wrong[:5])
            + f" ({len(wrong)} of {len(expected)} tensors differ)",
        )


def _of(path: Path, error: DeftError) -> CheckpointError:
    """An error of a card as one of its file."""
    return CheckpointError(
        f"{path}: {error.what}", given=error.given, expected=error.expected, advice=error.advice
    )
