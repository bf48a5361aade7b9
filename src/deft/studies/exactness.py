"""How exact the h-transform of a method is: paths of its own steps, weighed.

    ESS / N of N paths of each image, and log p(y); 1 is exact        see deft.paths

For methods whose steps have a density (DDIM with eta > 0, sigma_y > 0); of any other it is said why
not. What the paths cost is in no table.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from deft.errors import CheckpointError, InvalidInput, WeightsNotFinite
from deft.likelihoods import Observation
from deft.paths import simulate, weigh
from deft.priors.base import Prior
from deft.samplers.weights import gaussian_steps, weighable
from deft.storage.atomic import atomic
from deft.studies.method import Method


def path_weights(
    prior: Prior,
    observation: Observation,
    method: Method,
    folder: Path,
    paths: int,
    seeds: Sequence[int],
    batch_size: int,
) -> dict[str, object]:
    """The weights of `paths` paths of each image, a card each; or, under `reason`, why there are
    none. One image at a time, each kept when it is done.
    """
    if method.h_transform is None and not method.sampler.conditions:
        return {
            "paths": paths,
            "cards": [],
            "reason": "the prior alone does not see the measurement",
        }
    kept = folder / "parts" / method.folder / f"paths-{paths}.json"
    cards = _kept(kept) if kept.exists() else []
    try:
        sampler = gaussian_steps(method.sampler, "a path weight")
        some = prior.take(range(len(observation)))
        weighable(method.posterior(some, observation), "a path weight")
        for i in range(len(cards), len(observation)):
            posterior = method.posterior(prior.take([i]), observation.take([i]))
            path = simulate(posterior, sampler, paths, seed=[seeds[i]], batch_size=batch_size)
            cards += weigh(path, posterior, batch_size=batch_size).card()
            with atomic(kept) as file:
                file.write(json.dumps(cards, allow_nan=False).encode())
    except (InvalidInput, WeightsNotFinite) as error:
        return {"paths": paths, "cards": cards[: len(observation)], "reason": str(error)}
    return {"paths": paths, "cards": cards[: len(observation)], "reason": None}


def _kept(path: Path) -> list[dict[str, object]]:
    """The cards that are there. Raises `CheckpointError` where the file is damaged."""
    try:
        cards = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{path} cannot be read ({error}); delete it, and the same call will make it again."
        ) from error
    if not isinstance(cards, list) or not all(isinstance(card, dict) for card in cards):
        raise CheckpointError(
            f"{path} holds no cards of weights; delete it, and the same call will make it again."
        )
    return cards
