"""An h-transform with its prior and its problem, from where a user says that it is.

A file names its prior (`prior_from`) and its problem; nothing that it names is downloaded, and no
class outside the library is built unless the caller allows it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from deft.errors import CheckpointError, InvalidInput
from deft.htransforms.base import HTransform
from deft.metrics.intervals import Intervals
from deft.pipeline import publishing
from deft.priors import resolve, zoo
from deft.priors.base import Prior
from deft.problems import Problem, from_card
from deft.samplers.base import Sampler
from deft.storage import hub
from deft.storage.cards import Allow
from deft.training import checkpoint, codec_error, places, prior_told
from deft.training.validated import sampler_of


class Parts(NamedTuple):
    """What a pipeline is made of."""

    h: HTransform
    prior: Prior
    problem: Problem
    sampler: Sampler
    intervals: Intervals | None
    card: Mapping[str, Any]


def opened(
    place: str | Path,
    prior: str | Path | Prior | None,
    allow: Allow,
    allow_prior: bool,
    revision: str | None,
) -> Parts:
    """The parts at a place (`DeftPipeline.from_pretrained`), in evaluation mode."""
    path = _place(place, revision)
    card = checkpoint.read_card(path)
    if card.get("problem") is None:
        raise CheckpointError(
            f"the problem on the card of {path}",
            given="nothing",
            expected="the problem that it was trained on",
            advice="load it with deft.training.checkpoint.load(path, prior), and make the problem "
            "yourself",
        )
    network = codec_error.apart(_prior(path, card, prior, allow, allow_prior))
    problem = from_card(card["problem"], allow=allow)
    h, _ = checkpoint.load(path, network, allow=allow)
    return Parts(h.eval(), network, problem, sampler_of(card), Intervals.of(card), card)


def _place(place: object, revision: str | None) -> Path:
    if not isinstance(place, str | Path):
        raise InvalidInput(
            "place",
            given=type(place).__name__,
            expected="a name, a run folder, a file, or a hub id: of type str or Path",
            advice="see deft list",
        )
    return places.fetched(place, revision)


def _prior(
    path: Path,
    card: Mapping[str, object],
    given: str | Path | Prior | None,
    allow: Allow,
    allow_prior: bool,
) -> Prior:
    if isinstance(given, Prior):
        return prior_told.told(given, path, checkpoint.KIND)
    said = prior_told.arguments(path, checkpoint.KIND, card)
    if given is not None:
        if not isinstance(given, str | Path):
            raise InvalidInput(
                "prior", given=type(given).__name__, expected="a name, a path, or a Prior"
            )
        return resolve.load(given, allow=allow, **said)
    name = card.get("prior_from")
    if not isinstance(name, str):
        raise CheckpointError(
            f"the card of {path}",
            given="a card that does not say where its prior comes from",
            expected="prior_from, a name or a path",
            advice="give the prior: prior=",
        )
    place, at, tail = name.partition("@")
    if not hub.is_id(place) or Path(name).exists() or name in zoo.names():
        return resolve.load(name, fetch=False, allow=allow, **said)
    revision = publishing.revision_on(card) or (tail if at else None)
    if not allow_prior:
        raise InvalidInput(
            "prior",
            given=name,
            expected="a prior that ships, or a local path: what a file names is not downloaded",
            advice=f"allow_prior=True downloads it; prior= takes a copy of yours, or {name!r}",
        )
    source = name if revision is None else hub.snapshot(place, revision)
    return resolve.load(source, allow=allow, **said)
