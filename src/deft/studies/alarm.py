"""The alarm of a method: the reference on the card of its h-transform, the verdicts on its samples,
and the pass over held-out images that measures it.

The samples of that pass are kept in parts of a folder (deft.studies.parts), so that it goes on from
where it was stopped.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

from deft.errors import CheckpointError, InvalidInput
from deft.htransforms.trained import trained_for
from deft.likelihoods import Observation
from deft.metrics.alarm import Reference, Verdict, measure, reference
from deft.metrics.alarm.reference import FALSE_ALARMS
from deft.metrics.alarm.verdict import DOUBTFUL
from deft.priors.base import Prior
from deft.problems import Problem
from deft.storage.atomic import atomic
from deft.studies.method import Method, describe
from deft.studies.parts import Part, draw
from deft.types import Signal

NONE = "no reference: `deft alarm` measures one"
_TOLERANCE = 0.01  # of sigma_y; levels are stored in single precision


def reference_on(card: Mapping[str, Any] | None) -> Reference | None:
    """The reference on the card of an h-transform; None where it has none."""
    said = (card or {}).get("alarm")
    return Reference.from_card(said) if isinstance(said, Mapping) else None


def why_none(
    card: Mapping[str, Any] | None, method: Method, observation: Observation, samples: int
) -> str:
    """Why answers of a method have no verdict, in words; empty where they have one."""
    known = reference_on(card)
    if known is None:
        return NONE
    if dict(known.sampler) != describe(method.sampler):
        return "no verdict: the reference was measured with another sampler (deft alarm)"
    if observation.is_whitened:
        return "no verdict: the reference was measured with the same noise in every entry"
    if samples < min(known.samples):
        return f"no verdict: the reference needs {min(known.samples)} samples or more"
    level = known.range_of_noise or trained_for(card or {})
    if level is not None and len(observation):
        least, most = float(observation.sigma_y.min()), float(observation.sigma_y.max())
        if least < level[0] * (1 - _TOLERANCE) or most > level[1] * (1 + _TOLERANCE):
            shown = f"{level[0]:g}" if level[0] == level[1] else f"{level[0]:g} to {level[1]:g}"
            return f"no verdict: the reference was measured for sigma_y = {shown}"
    return ""


def verdicts(
    card: Mapping[str, Any],
    prior: Prior,
    observation: Observation,
    samples: Tensor,
    false_alarms: float = FALSE_ALARMS,
    batch_size: int = 64,
) -> list[Verdict]:
    """One verdict for each observation, on its samples (observations, samples, *signal), in signal
    space.
    """
    known = reference_on(card)
    if known is None:
        raise InvalidInput("the card", given="no reference of an alarm", expected=NONE)
    _, used = known.rows(samples.shape[1])
    levels = observation.sigma_y.double().expand(len(observation)).tolist()
    with torch.no_grad():
        rows = measure(prior, observation, samples, (used,), known.levels, batch_size)[0]
    return [
        known.judge(row, used, level, false_alarms) for row, level in zip(rows, levels, strict=True)
    ]


def alarms(
    prior: Prior,
    observation: Observation,
    method: Method,
    parts: Sequence[Part],
    folder: Path,
    samples: int,
    batch_size: int,
) -> dict[str, list[float]]:
    """Under `alarm`, 100 for each image whose answer is doubtful and 0 for the others; nothing
    where the method has no verdicts. Kept in the folder of an evaluation.
    """
    card, sampled = (
        method.learned,
        torch.cat([part.samples for part in sorted(parts, key=lambda part: part.start)]),
    )
    if card is None or why_none(card, method, observation, samples):
        return {}
    kept = folder / "parts" / method.folder / "alarms.json"
    found = _kept(kept) if kept.exists() else []
    for i in range(len(found), len(sampled)):
        own = prior.take([i]), observation.take([i])
        verdict = verdicts(card, *own, sampled[[i]], batch_size=batch_size)[0]
        found.append(verdict.card())
        with atomic(kept) as file:
            file.write(json.dumps(found, allow_nan=False).encode())
    return {"alarm": [100.0 * (one["level"] == DOUBTFUL) for one in found[: len(sampled)]]}


def _kept(path: Path) -> list[dict[str, object]]:
    """The verdicts that are there. Raises `CheckpointError` where the file is damaged."""
    try:
        found = json.loads(path.read_text())
        if all(isinstance(one, dict) and "level" in one for one in found):
            return list(found)
    except (OSError, ValueError, TypeError) as error:
        raise CheckpointError(
            f"{path} cannot be read ({error}); delete it, and the same call will make it again."
        ) from error
    raise CheckpointError(
        f"{path} holds no verdicts; delete it, and the same call will make it again."
    )


def measured(
    prior: Prior,
    method: Method,
    problem: Problem,
    images: Signal,
    folder: Path,
    *,
    samples: int = 8,
    seed: int = 0,
    noise_images: int = 16,
    batch_size: int = 64,
) -> Reference:
    """The reference of a method with an h-transform, on held-out images; samples that are kept in
    `folder` are not drawn again.
    """
    h_transform, sampler = method.h_transform, method.sampler
    if h_transform is None or sampler.conditions:
        raise InvalidInput(
            f"{method.label}", given="no h-transform", expected="an h-transform with a sampler"
        )
    total = len(images)
    with tqdm(total=total, desc="reference", unit="image", dynamic_ncols=True) as bar:

        def kept(name: str, observed: Observation, seeds: Sequence[int]) -> Tensor:
            if name != "as told":
                bar.total = (bar.total or 0) + len(observed)
            own = Method(name, h_transform, sampler)
            parts = draw(prior, observed, own, folder, samples, seeds, batch_size, bar)
            return torch.cat([p.samples for p in sorted(parts, key=lambda part: part.start)])

        card = describe(sampler)
        assert isinstance(card, Mapping)
        return reference(
            prior,
            h_transform,
            problem,
            images,
            sampler,  # type: ignore[arg-type]
            sampler_card=card,
            num_samples=samples,
            seed=seed,
            noise_images=noise_images,
            batch_size=batch_size,
            draw=kept,
        )
