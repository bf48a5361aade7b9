"""Methods side by side: the same observations, the same seeds, the same measures.

    observation of image i   drawn from (seed, 4, i)
    sample j of image i      drawn from ((seed, 5, i), j)

A run folder holds the samples of every finished (method, range of images) in `parts/`
(deft.studies.parts), and `results.json`; what they are measured by is in deft.studies.scores. A
method can be added later. A changed configuration in the same folder is an error, and so is a
method that does not apply to the prior or the observations, before anything is drawn.
"""

from __future__ import annotations

import inspect
import json
import warnings
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from deft.errors import InvalidInput, at_least_one
from deft.metrics.learned import Weights
from deft.noise import Noise, as_seed, mix
from deft.priors.base import Prior
from deft.problems import Problem
from deft.storage import provenance
from deft.storage.atomic import atomic
from deft.storage.claims import claim
from deft.storage.lock import locked
from deft.studies.alarm import alarms
from deft.studies.checked import check_request
from deft.studies.conformal import held_by
from deft.studies.estimate import finite
from deft.studies.exactness import path_weights
from deft.studies.kept import keep_aligned, keep_pictures
from deft.studies.method import Method, describe
from deft.studies.parts import draw
from deft.studies.scores import MEASURES, PATCHES, PROJECTIONS, Scores, best
from deft.studies.words import number, some
from deft.types import Signal

FORMAT = 1


def evaluate(
    prior: Prior,
    problem: Problem,
    images: Signal,
    methods: Sequence[Method],
    *,
    out: str | Path,
    samples: int = 4,
    seed: int = 0,
    batch_size: int = 64,
    reference: str | None = None,
    clip: bool = False,
    weights: Weights | None = None,
    pictures: int = 8,
    paths: int = 0,
    command: str | None = None,
    progress: bool = True,
) -> dict[str, Any]:
    """Run every method on observations of `images`, and write `results.json`, whose content is
    returned.

    Finished parts in the folder `out` are kept: the same call again does only what is missing.
    `reference` is the label of the method that differences are taken against (the last one by
    default); `clip` cuts all samples of all methods to the prior's range before anything is
    measured; `weights` names the user's files for LPIPS, FID and KID, which are not available
    without; `pictures` says how many images are kept for the report; `paths` > 0 weighs that many
    paths of each image by every method whose steps have a density (deft.studies.exactness);
    `batch_size` counts signals and changes no result. One run has the folder at a time
    (`FolderInUse`). Samples that are not finite are marked, and a warning names their images.
    """
    check_request(prior, images, methods, samples, clip, reference, paths)
    at_least_one({"batch_size": batch_size})
    seed = as_seed(seed)
    weights = weights or Weights()
    weights.check(images.shape[1:])
    files = weights.card()  # now, so that a missing file is found before anything is drawn
    reference = reference or methods[-1].label
    folder = Path(out)
    seeds = {"observations": _seeds(seed, 4, len(images)), "samples": _seeds(seed, 5, len(images))}
    observation = problem.draw(
        images.to(prior.device, prior.dtype),
        Noise(seeds["observations"], prior.device, prior.dtype),
    )
    for method in methods:
        count = _count(method, images)
        method.check(prior.take(range(count)), observation.take(range(count)))
    common = {
        "format": FORMAT,
        "prior": prior.identity(),
        **({"context": describe(prior.context.values)} if prior.context.values else {}),
        "problem": problem.card(),
        "images": {"count": len(images), "sha256": describe(images)},
        "observations": describe(observation.y),
        "samples": samples,
        "seed": seed,
        "noise": Noise.generator,
    }
    if (folder / "results.json").exists() and not (folder / "evaluation.json").exists():
        raise InvalidInput(
            "out",
            given=str(folder),
            expected="a folder without a results.json that is not of an evaluation",
            advice="use another folder",
        )
    with locked(folder):
        claim(folder / "evaluation.json", common, "this evaluation")
        for method in methods:
            claim(
                folder / "parts" / method.folder / "method.json",
                method.card(),
                f"the method {method.label!r}",
            )
        keep_pictures(folder, images[:pictures], observation, prior.value_range)

        truth = images.cpu()
        scores: dict[str, Scores] = {}
        exactness: dict[str, dict[str, object] | None] = {}
        trained = any(method.training_seconds for method in methods)
        with tqdm(
            total=sum(_count(method, images) for method in methods),
            disable=not progress,
            desc="evaluating",
            unit="image",
        ) as bar:
            for method in methods:
                bar.set_description(method.label)
                here = observation.take(range(_count(method, images)))
                parts = draw(
                    prior, here, method, folder, samples, seeds["samples"], batch_size, bar
                )
                scores[method.label] = Scores(
                    parts,
                    truth,
                    observation,
                    prior.value_range,
                    clip,
                    weights,
                    own_evaluations=method.own_evaluations,
                    training_seconds=method.training_seconds if trained else None,
                )
                scores[method.label].per_image |= alarms(
                    prior, here, method, parts, folder, samples, batch_size
                )
                if observation.operator.symmetries:
                    keep_aligned(folder, method.label, scores[method.label].samples)
                exactness[method.label] = (
                    path_weights(prior, here, method, folder, paths, seeds["samples"], batch_size)
                    if paths
                    else None
                )

        results = {
            **common,
            "problem_in_words": _first_sentence(problem),
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "commit": provenance.commit(),
            "command": command or provenance.command(),
            "versions": provenance.versions(),
            "machine": provenance.machine(str(prior.device)),
            "batch_size": batch_size,
            "peak_memory": _memory_in_words(prior, batch_size),
            "clipped": clip,
            "aligned": observation.operator.symmetries,
            "weights": files,
            "patch_distance": {"patches": PATCHES, "projections": PROJECTIONS},
            "value_range": list(prior.value_range) if prior.value_range else None,
            "sigma_y": [float(s) for s in observation.sigma_y.expand(len(images))],
            "seeds": seeds,
            "reference": reference,
            "measures": [vars(measure) for measure in MEASURES],
            "best": {measure.key: best(measure, methods, scores) for measure in MEASURES},
            "methods": [
                _report(method, scores, reference)
                | {"path_weights": exactness[method.label]}
                | held_by(
                    method,
                    problem,
                    scores[method.label].samples,
                    truth,
                    observation,
                    prior,
                    folder,
                    clip,
                    pictures,
                )
                for method in methods
            ],
        }
        _warn_of_broken(scores)
        with atomic(folder / "results.json") as file:
            file.write(json.dumps(results, indent=1, allow_nan=False).encode())
        return results


def _report(method: Method, scores: Mapping[str, Scores], reference: str) -> dict[str, object]:
    """What `results.json` says about one method."""
    own, other = scores[method.label], scores[reference]
    common = min(own.count, other.count)
    summary, difference = {}, {}
    for measure in MEASURES:
        estimate = own.estimate(measure.key, own.count)
        if estimate is None:
            continue
        summary[measure.key] = estimate.card()
        paired = own.difference(other, measure.key, common)
        if method.label != reference and paired is not None:
            difference[measure.key] = paired.card()
    return {
        **method.card(),
        "conditional": method.conditions,
        "training_seconds": method.training_seconds,
        "tuned": dict(method.tuned) if method.tuned else None,
        "notes": method.notes,
        "images": own.count,
        "broken_samples": own.broken,
        "broken_images": own.broken_images,
        "weights": own.cards or None,
        "collapsed": sum(bool(card["collapsed"]) for card in own.cards),
        "parameters": sum(p.numel() for p in method.h_transform.parameters())
        if method.h_transform
        else 0,
        "summary": summary,
        "difference": difference,
        "per_image": {key: [finite(v) for v in values] for key, values in own.per_image.items()},
    }


def _warn_of_broken(scores: Mapping[str, Scores]) -> None:
    for label, own in scores.items():
        if own.broken:
            images = some([str(i + 1) for i in own.broken_images])
            warnings.warn(
                f"{label}: NaN or infinite values in {number(own.broken, 'sample')} (image "
                f"{images}); they are marked, and measures over them have no value.",
                stacklevel=3,
            )


def _first_sentence(problem: Problem) -> str:
    """What the problem's own documentation says first; nothing for a class without any."""
    return (inspect.cleandoc(type(problem).__doc__ or "").splitlines() or [""])[0]


def _memory_in_words(prior: Prior, batch_size: int) -> str:
    """What the peak memory is that of, or why there is none."""
    if prior.device.type == "cuda":
        return (
            f"the most that the GPU held, prior included, with at most {batch_size} signals "
            "denoised at once"
        )
    return "not measured: on a CPU torch does not count what it allocates"


def _seeds(seed: int, stream: int, count: int) -> list[int]:
    return [mix(seed, stream, i) for i in range(count)]


def _count(method: Method, images: Signal) -> int:
    return min(method.images or len(images), len(images))
