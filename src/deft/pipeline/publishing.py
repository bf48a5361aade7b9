"""An h-transform as others can have it: a folder, or a repository of the hub.

    h.safetensors   weights and card: problem, sampler, units, metrics, intervals, alarm, licences
    README.md       the model card (deft.pipeline.model_card)
    samples.png     truth, measurement, samples, mean and standard deviation

The prior is named, by its hub id and revision, or by the name under which it ships; it is not
copied.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from deft.errors import InvalidInput
from deft.noise import Noise
from deft.pipeline import model_card
from deft.priors import zoo
from deft.priors.base import Prior
from deft.problems import Problem
from deft.reports import figure
from deft.storage import hub
from deft.storage.atomic import atomic
from deft.studies.method import Method
from deft.training import checkpoint, places
from deft.training.validated import PUBLISHED, made, sampler_of

WEIGHTS, CARD, SHEET = places.WEIGHTS, "README.md", "samples.png"
_LICENSE = re.compile(r"[a-z0-9][a-z0-9.+-]*")
_TRUTHS, _SAMPLES = 2, 4


def about(
    card: Mapping[str, Any],
    prior_from: object = None,
    prior_revision: object = None,
    license: object = None,
    prior_license: object = None,
    public: bool = False,
) -> dict[str, Any]:
    """The fields of a card that say where the prior is and what may be done with it and with h;
    what is not given is what the card says.

    Raises `InvalidInput` for what cannot be meant, and, where it is to be `public`, for a prior
    that others cannot have.
    """
    said = card.get("published")
    said = dict(said) if isinstance(said, Mapping) else {}
    place = card.get("prior_from") if prior_from is None else prior_from
    if place is not None and not isinstance(place, str):
        raise InvalidInput("prior_from", given=place, expected="a name, a path or a hub id")
    if place is None or (public and not (hub.is_id(place) or place in zoo.names())):
        raise InvalidInput(
            "prior_from",
            given="nothing" if place is None else place,
            expected="a hub id (owner/name), or the name of a prior that ships"
            if public
            else "the name, the path or the hub id of the prior",
            advice="say where others find the prior: prior_from='owner/name'",
        )
    moved = prior_from is not None and prior_from != card.get("prior_from")
    if moved:  # what was said of another place
        said |= {"prior_revision": None, "prior_license": None}
    if prior_revision is not None and not hub.is_id(place):
        raise InvalidInput(
            "prior_revision",
            given=prior_revision,
            expected=f"nothing: {place} is no repository of the hub",
            advice="leave `prior_revision` out",
        )
    said |= {
        name: value
        for name, value in {
            "prior_revision": hub.checked(prior_revision),
            "license": _license("license", license),
            "prior_license": _license("prior_license", prior_license),
        }.items()
        if value is not None
    }
    fields: dict[str, Any] = {"prior_from": place, "published": said or None}
    if said:
        PUBLISHED.check("published", said)
    return fields


def _license(name: str, value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not _LICENSE.fullmatch(value):
        raise InvalidInput(
            name,
            given=value,
            expected="the identifier of a licence in small letters, such as apache-2.0 or "
            "cc-by-4.0",
            advice="use 'other' for one without an identifier",
        )
    return value


def revision_on(card: Mapping[str, Any]) -> str | None:
    """The revision of the prior that a card says."""
    said = card.get("published")
    return said.get("prior_revision") if isinstance(said, Mapping) else None


def write(
    folder: Path,
    method: Method,
    prior: Prior,
    problem: Problem,
    fields: Mapping[str, Any],
    examples: Tensor | None,
    sheet: bool,
    progress: bool,
) -> Path:
    """The three files in a folder; each is replaced in one step. Raises `InvalidInput` where the
    place is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise InvalidInput("folder", given=f"{folder}, a file", expected="a folder, or nothing yet")
    if "tiles" in prior.identity():
        raise InvalidInput(
            "the pipeline",
            given="one for pictures larger than the prior, by tiles",
            expected="that of the prior's own size",
            advice="save the pipeline before it is tiled",
        )
    assert method.h_transform is not None
    card = {**(method.learned or {}), **fields, "problem": problem.card()}
    if made(method.sampler) != made(sampler_of(card)):  # another one than was validated
        card["sampler"] = {"made": made(method.sampler)}
    checkpoint.architecture(method.h_transform)  # raises for what could not be loaded again
    shown = None
    if sheet and len(prior.signal_shape) == 3 and prior.signal_shape[0] in (1, 3):
        shown = figure.png(_sheet(method, prior, problem, examples, progress))
    checkpoint.save(folder / WEIGHTS, method.h_transform, prior, card)
    written = checkpoint.read_card(folder / WEIGHTS)
    if shown is not None:
        with atomic(folder / SHEET) as file:
            file.write(shown)
    elif (folder / SHEET).exists():
        (folder / SHEET).unlink()  # of an earlier h
    text = model_card.text(written, SHEET if shown is not None else None)
    with atomic(folder / CARD) as file:
        file.write(text.encode())
    return folder


def push(
    repo_id: str,
    method: Method,
    prior: Prior,
    problem: Problem,
    fields: Mapping[str, Any],
    examples: Tensor | None,
    sheet: bool,
    *,
    private: bool | None,
    token: str | None,
    message: str,
    create_pr: bool,
) -> str:
    """The same in a repository of the hub; the address of the commit."""
    with tempfile.TemporaryDirectory() as place:
        folder = write(Path(place) / "h", method, prior, problem, fields, examples, sheet, False)
        return hub.pushed(
            folder, repo_id, private=private, token=token, message=message, create_pr=create_pr
        )


def _sheet(
    method: Method, prior: Prior, problem: Problem, examples: Tensor | None, progress: bool
) -> figure.Picture:
    """One row for each example: truth, measurement, samples, mean, standard deviation."""
    sampler: Any = method.sampler
    if examples is None:
        truth = prior.decode(sampler(prior, _TRUTHS, seed=11, progress=progress)[0])
        if prior.value_range is not None:
            truth = truth.clamp(*prior.value_range)
    else:
        truth = _examples(examples, prior)
    observed = problem.draw(truth, Noise(range(len(truth)), prior.device, prior.dtype))
    posterior = method.posterior(prior, observed)
    x = prior.decode(sampler(posterior, _SAMPLES, seed=12, progress=progress)).cpu()
    mean, std = x.mean(1), x.std(1)
    value_range = prior.value_range or (float(truth.min()), float(truth.max()))
    lifted, seen = observed.lifted.cpu(), observed.operator.coverage(truth).cpu()
    high, rows = float(std.square().mean(1).sqrt().max()) or 1.0, []
    for i, clean in enumerate(truth.cpu()):
        measured = figure.picture(np.asarray(lifted[i]), value_range)
        rows.append(
            [
                figure.picture(np.asarray(clean), value_range),
                figure.hatch(measured, np.asarray(seen[i])),
                *(figure.picture(np.asarray(one), value_range) for one in (*x[i], mean[i])),
                figure.heat(np.asarray(std[i].square().mean(0).sqrt()), high),
            ]
        )
    titles = ["truth", "measurement", *(f"sample {j + 1}" for j in range(_SAMPLES)), "mean"]
    scale = figure.enlargement(tuple(prior.signal_shape))
    return figure.grid(rows, [*titles, f"std, 0 to {high:.2g}"], scale=scale)


def _examples(examples: object, prior: Prior) -> Tensor:
    """Clean signals. Raises `InvalidInput` for others."""
    shape = tuple(prior.signal_shape)
    if (
        not isinstance(examples, Tensor)
        or examples.ndim != len(shape) + 1
        or tuple(examples.shape[1:]) != shape
        or not len(examples)
    ):
        given = tuple(examples.shape) if isinstance(examples, Tensor) else type(examples).__name__
        raise InvalidInput(
            "examples",
            given=given,
            expected=f"clean signals, a tensor (n, {', '.join(map(str, shape))})",
        )
    found = examples[:_SAMPLES].to(prior.device, prior.dtype)
    if not bool(torch.isfinite(found).all()):
        raise InvalidInput("examples", given="NaN or infinite values", expected="finite signals")
    return found
