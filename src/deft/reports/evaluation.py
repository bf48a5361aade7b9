"""Methods side by side: the same observations, the same seeds, the same measures.

    observation of image i   drawn from (seed, 4, i)
    sample j of image i      drawn from ((seed, 5, i), j)

A run folder holds the samples of every finished (method, range of images) in `parts/`, and `results.json`. A part is written in one step, so that a run
that was stopped goes on where it stopped, and a method can be added later. A changed configuration in the same folder is an error.
"""

from __future__ import annotations

import inspect
import io
import json
import math
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from deft.errors import CheckpointError, InvalidInput, OutOfMemory
from deft.htransforms.base import HTransform, NoConditioning
from deft.likelihoods import Observation
from deft.metrics.distribution import patch_distance_leaving_out
from deft.metrics.image import misfit, psnr, root_mean_square, ssim
from deft.metrics.learned import Weights, features, frechet_distance, kernel_distance, lpips
from deft.noise import Noise, as_seed, mix
from deft.posterior import Posterior
from deft.priors.base import Prior, state_hash
from deft.problems import Problem
from deft.reports import provenance
from deft.reports.estimate import Estimate, finite, groups
from deft.samplers.base import Sampler
from deft.training.files import atomic
from deft.types import Signal, Times

FORMAT = 1
_PATCHES, _PROJECTIONS = 64, 128


@final
@dataclass(frozen=True)
class Method:
    """What is compared: an h-transform (None: the prior alone) with a sampler.

    `training_seconds` is what the h-transform took to learn; `tuned` the table of a tuned parameter, as it should stand in the report; `images` limits
    an expensive method to the first few images.
    """

    label: str
    h_transform: HTransform | None
    sampler: Sampler
    training_seconds: float = 0.0
    tuned: Mapping[str, object] | None = None
    notes: str = ""
    images: int | None = None

    @property
    def folder(self) -> str:
        """The label as a folder's name."""
        return folder_name(self.label)

    def card(self) -> dict[str, object]:
        """What its samples depend on."""
        return {"label": self.label, "h_transform": describe(self.h_transform), "sampler": describe(self.sampler)}


@final
@dataclass(frozen=True)
class Measure:
    """One column of the table. `better` is `higher`, `lower`, `one` (1 is right) or `none` (a cost)."""

    key: str
    title: str
    unit: str
    better: str
    digits: int


MEASURES = (
    Measure("psnr_mean", "PSNR of the mean", "dB", "higher", 2),
    Measure("psnr_single", "PSNR of a sample", "dB", "higher", 2),
    Measure("ssim_mean", "SSIM of the mean", "", "higher", 3),
    Measure("ssim_single", "SSIM of a sample", "", "higher", 3),
    Measure("patch_distance", "Patch distance", "×10³", "lower", 1),
    Measure("lpips", "LPIPS of a sample", "", "lower", 3),
    Measure("fid", "FID", "", "lower", 1),
    Measure("kid", "KID", "×10³", "lower", 2),
    Measure("misfit", "Misfit", "", "one", 3),
    Measure("evaluations", "Prior evaluations", "per sample", "none", 0),
    Measure("prior_gradients", "Prior gradients", "per sample", "none", 0),
    Measure("seconds", "Time", "s / image", "none", 2),
)


@final
class Counted(Prior):
    """A prior that counts: signals denoised, and vector-Jacobian products with it (several per evaluation, where a method asks for them).

    What is asked of its parts (`take`), and of it in a context (`given`), counts as well.
    """

    def __init__(self, prior: Prior) -> None:
        super().__init__()
        self.prior = prior
        self._counts = {"evaluations": 0, "gradients": 0}
        self.schedule, self.event_shape, self.value_range = prior.schedule, prior.event_shape, prior.value_range
        self.differentiable = prior.differentiable

    @property
    def evaluations(self) -> int:
        """Signals denoised."""
        return self._counts["evaluations"]

    @property
    def gradients(self) -> int:
        """Vector-Jacobian products."""
        return self._counts["gradients"]

    @property
    def name(self) -> str:
        return self.prior.name

    @property
    def scale(self) -> float:  # type: ignore[override]
        return self.prior.scale

    @property
    def device(self) -> torch.device:
        return self.prior.device

    @property
    def dtype(self) -> torch.dtype:
        return self.prior.dtype

    @property
    def num_observations(self) -> int:
        return self.prior.num_observations

    def identity(self) -> dict[str, object]:
        return self.prior.identity()

    def take(self, index: Sequence[int] | Tensor) -> Counted:
        return self._sharing(self.prior.take(index))

    def given(self, **context: Tensor) -> Counted:
        return self._sharing(self.prior.given(**context))

    def _sharing(self, prior: Prior) -> Counted:
        other = Counted(prior)
        other._counts = self._counts
        return other

    def initial(self, noise: Noise) -> Signal:
        return self.prior.initial(noise)

    def denoise(self, x_t: Signal, t: Times) -> Signal:
        self._counts["evaluations"] += len(x_t)
        x_0_hat = self.prior.denoise(x_t, t)
        if x_0_hat.requires_grad:
            x_0_hat.register_hook(self._count_gradient)
        return x_0_hat

    def _count_gradient(self, v: Tensor) -> None:
        self._counts["gradients"] += len(v)


@final
@dataclass(frozen=True)
class _Part:
    """Samples of some images: (images, samples, *event), with what they cost."""

    start: int
    samples: Tensor
    seconds: float
    evaluations: int
    gradients: int


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
    command: str | None = None,
    progress: bool = True,
) -> dict[str, Any]:
    """Run every method on observations of `images`, and write `results.json`, whose content is returned.

    Finished parts in the folder `out` are kept: the same call again does only what is missing. `reference` is the label of the method that differences are taken
    against (the last one by default); `clip` cuts all samples of all methods to the prior's range before anything is measured; `weights` names the user's files for LPIPS, FID and KID, which are not available without; `pictures` says how
    many images are kept for the report; `batch_size` counts signals and changes no result.
    """
    _check(prior, images, methods, samples, clip, reference)
    seed = as_seed(seed)
    files = (weights or Weights()).card()  # now, so that a missing file is found before anything is drawn
    reference = reference or methods[-1].label
    folder = Path(out)
    observation = _observe(prior, problem, images, seed)
    common = {
        "format": FORMAT,
        "prior": prior.identity(),
        **({"context": describe(prior)} if prior.num_observations > 1 else {}),
        "problem": problem.card(),
        "images": {"count": len(images), "sha256": describe(images)},
        "observations": describe(observation.y),
        "samples": samples,
        "seed": seed,
    }
    _claim(folder / "evaluation.json", common, "this evaluation")
    for method in methods:
        _claim(folder / "parts" / method.folder / "method.json", method.card(), f"the method {method.label!r}")
    _keep_pictures(folder, images[:pictures], observation, prior.value_range)

    truth = images.cpu()
    scores: dict[str, _Scores] = {}
    bar = tqdm(total=sum(_count(method, images) for method in methods), disable=not progress, desc="evaluating", unit="image")
    for method in methods:
        bar.set_description(method.label)
        parts = _run(prior, observation.take(range(_count(method, images))), method, folder, samples, seed, batch_size, bar)
        scores[method.label] = _Scores(parts, truth, observation, prior.value_range, clip, weights or Weights())
    bar.close()

    results = {
        **common,
        "problem_in_words": _first_sentence(problem),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": provenance.commit(),
        "command": command or provenance.command(),
        "versions": provenance.versions(),
        "machine": provenance.machine(str(prior.device)),
        "clipped": clip,
        "weights": files,
        "patch_distance": {"patches": _PATCHES, "projections": _PROJECTIONS},
        "value_range": list(prior.value_range) if prior.value_range else None,
        "sigma_y": [float(s) for s in observation.sigma_y.expand(len(images))],
        "seeds": {"observations": _seeds(seed, 4, len(images)), "samples": _seeds(seed, 5, len(images))},
        "reference": reference,
        "measures": [vars(measure) for measure in MEASURES],
        "best": {measure.key: _best(measure, methods, scores) for measure in MEASURES},
        "methods": [_report(method, scores, reference) for method in methods],
    }
    with atomic(folder / "results.json") as file:
        file.write(json.dumps(results, indent=1, allow_nan=False).encode())
    return results


def folder_name(label: str) -> str:
    """A label in small letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-") or "method"


def read_results(folder: str | Path) -> dict[str, Any]:
    """What `evaluate` wrote."""
    path = Path(folder) / "results.json"
    if not path.exists():
        raise InvalidInput(f"{folder} holds no results.json; run the evaluation to its end first.")
    return json.loads(path.read_text())


def read_samples(folder: str | Path, label: str, count: int) -> Tensor:
    """The samples of a method's first images: (images, samples, *event)."""
    parts = sorted(_read_parts(Path(folder) / "parts" / folder_name(label)), key=lambda part: part.start)
    return torch.cat([part.samples for part in parts])[:count] if parts else torch.empty(0)


@final
class _Scores:
    """The measures of one method, over all of its images or the first few."""

    def __init__(
        self,
        parts: list[_Part],
        truth: Signal,
        observation: Observation,
        value_range: tuple[float, float] | None,
        clip: bool,
        weights: Weights,
    ) -> None:
        parts = sorted(parts, key=lambda part: part.start)
        samples = torch.cat([part.samples for part in parts])
        if clip and value_range is not None:
            samples = samples.clamp(*value_range)
        self.count, self.samples, self.truth = len(samples), samples, truth[: len(samples)]
        low, high = self.value_range = value_range or (float(truth.min()), float(truth.max()))
        self.features = weights.features
        self.per_image = {k: v.double().tolist() for k, v in _image_measures(samples, self.truth, observation, high - low).items()}
        if weights.lpips is not None and weights.lpips_heads is not None:
            self.per_image["lpips"] = _lpips(samples, self.truth, self.value_range, weights)
        for key, total in (("seconds", "seconds"), ("evaluations", "evaluations"), ("prior_gradients", "gradients")):
            each = 1 if key == "seconds" else samples.shape[1]
            self.per_image[key] = [getattr(part, total) / (len(part.samples) * each) for part in parts for _ in part.samples]
        self.broken = int((~torch.isfinite(samples.flatten(2))).any(2).sum())
        self._sets: dict[tuple[str, int], Estimate | None] = {}

    def estimate(self, key: str, count: int) -> Estimate | None:
        """A measure over the first `count` images; None where it is not defined for such signals, or its weights were not given."""
        if key in ("patch_distance", "fid", "kid"):
            if (key, count) not in self._sets:
                self._sets[key, count] = self._between_sets(key, self.samples[:count], self.truth[:count])
            return self._sets[key, count]
        if key not in self.per_image:
            return None
        values = self.per_image[key][:count]
        return Estimate.root_mean_square(values) if key == "misfit" else Estimate.mean(values)

    def _between_sets(self, key: str, samples: Tensor, truth: Signal) -> Estimate | None:
        if len(truth) < 2 or not bool(torch.isfinite(samples).all()):
            return None
        if key == "patch_distance":
            return _patch_estimate(samples, truth)
        return None if self.features is None else _feature_estimate(key, samples, truth, self.value_range, self.features)


def _image_measures(samples: Tensor, truth: Signal, observation: Observation, data_range: float) -> dict[str, Tensor]:
    """The measures that every image has of its own; of single samples, averaged over its samples."""
    found: dict[str, list[Tensor]] = {}
    has_windows = truth.ndim > 2 and min(truth.shape[2:]) >= 11
    for i, x in enumerate(samples):
        clean, mean = truth[i : i + 1], x.mean(0, keepdim=True)
        repeated = clean.expand_as(x)
        here = observation.take([i] * len(x))
        row = {"psnr_mean": psnr(mean, clean, data_range), "psnr_single": psnr(x, repeated, data_range)}
        if has_windows:
            row |= {"ssim_mean": ssim(mean, clean, data_range), "ssim_single": ssim(x, repeated, data_range)}
        for key, value in row.items():
            found.setdefault(key, []).append(value.mean())
        found.setdefault("misfit", []).append(root_mean_square(misfit(x.to(here.y.device), here)).cpu())
    return {key: torch.stack(values) for key, values in found.items()}


def _patch_estimate(samples: Tensor, truth: Signal) -> Estimate | None:
    """The patch distance between the truth and the j-th samples of all images, averaged over levels and over j."""
    if truth.ndim not in (3, 4) or min(truth.shape[2:]) < 7:
        return None
    parted = groups(len(truth))
    rows = np.array(
        [
            patch_distance_leaving_out(samples[:, j], truth, parted, patches=_PATCHES, projections=_PROJECTIONS)
            for j in range(samples.shape[1])
        ]
    ).mean(axis=(0, 2))
    return Estimate(float(rows[0]), tuple(float(row) for row in rows[1:]), len(truth))


def _lpips(samples: Tensor, truth: Signal, value_range: tuple[float, float], weights: Weights) -> list[float]:
    """LPIPS of single samples, averaged over the samples of each image."""
    files = {"weights": weights.lpips, "heads": weights.lpips_heads}
    found = [lpips(samples[:, j], truth, value_range, network=weights.lpips_network, **files).value for j in range(samples.shape[1])]
    return torch.stack([torch.as_tensor(value) for value in found]).mean(0).tolist()


def _feature_estimate(key: str, samples: Tensor, truth: Signal, value_range: tuple[float, float], weights: str | Path) -> Estimate:
    """FID or KID between the truth and the j-th samples of all images, averaged over j; FID, which is biased by the number of images, has no jackknife."""
    real = features(truth, value_range, weights)
    drawn = [features(samples[:, j], value_range, weights) for j in range(samples.shape[1])]
    if key == "fid":
        values = [frechet_distance(f.mean(0), f.T.cov(), real.mean(0), real.T.cov()) for f in drawn]
        return Estimate(float(np.mean(values)), (), len(truth))
    parted = groups(len(truth)) if len(truth) > 2 else []
    kept = [sorted(set(range(len(truth))) - set(group)) for group in ([], *parted)]
    rows = [1000 * float(np.mean([kernel_distance(f[rest], real[rest]) for f in drawn])) for rest in kept]
    return Estimate(rows[0], tuple(rows[1:]), len(truth))


def _report(method: Method, scores: Mapping[str, _Scores], reference: str) -> dict[str, object]:
    """What `results.json` says about one method."""
    own, other = scores[method.label], scores[reference]
    common = min(own.count, other.count)
    summary, difference = {}, {}
    for measure in MEASURES:
        estimate = own.estimate(measure.key, own.count)
        if estimate is None:
            continue
        summary[measure.key] = estimate.card()
        paired = _difference(measure, own, other, common)
        if method.label != reference and paired is not None:
            difference[measure.key] = paired.card()
    return {
        **method.card(),
        "conditional": method.h_transform is not None,
        "training_seconds": method.training_seconds,
        "tuned": dict(method.tuned) if method.tuned else None,
        "notes": method.notes,
        "images": own.count,
        "broken_samples": own.broken,
        "parameters": sum(p.numel() for p in method.h_transform.parameters()) if method.h_transform else 0,
        "summary": summary,
        "difference": difference,
        "per_image": {key: [finite(v) for v in values] for key, values in own.per_image.items()},
    }


def _difference(measure: Measure, a: _Scores, b: _Scores, count: int) -> Estimate | None:
    left, right = a.estimate(measure.key, count), b.estimate(measure.key, count)
    return None if left is None or right is None else left - right


def _best(measure: Measure, methods: Sequence[Method], scores: Mapping[str, _Scores]) -> str | None:
    """The method that beats every other conditional one by more than two standard errors of the paired difference; None where there is none."""
    sign = {"higher": 1, "lower": -1}.get(measure.better)
    labels = [method.label for method in methods if method.h_transform is not None]
    if sign is None or len(labels) < 2:
        return None
    for label in labels:
        gaps = [_difference(measure, scores[label], scores[o], min(scores[label].count, scores[o].count)) for o in labels if o != label]
        if all(gap is not None and sign * gap.value > 2 * gap.standard_error for gap in gaps):
            return label
    return None


def _run(
    prior: Prior, observation: Observation, method: Method, folder: Path, samples: int, seed: int, batch_size: int, bar: tqdm
) -> list[_Part]:
    """All parts of a method: those that are there, and those that are missing, each written when it is done."""
    where = folder / "parts" / method.folder
    parts = [part for part in _read_parts(where) if part.start < len(observation)]
    done = {part.start + i for part in parts for i in range(len(part.samples))}
    bar.update(len(done & set(range(len(observation)))))
    seeds = _seeds(seed, 5, len(observation))
    h_transform = (method.h_transform or NoConditioning()).to(prior.device).eval()
    for chunk in _missing(len(observation), done, max(1, batch_size // samples)):
        counted = Counted(prior.take(chunk))
        posterior = Posterior(counted, h_transform, observation.take(chunk))
        _synchronise(prior.device)
        start = time.perf_counter()
        with _explained(method, folder):
            x_0 = method.sampler(posterior, samples, seed=[seeds[i] for i in chunk], batch_size=batch_size)
        _synchronise(prior.device)
        seconds = time.perf_counter() - start
        part = _Part(chunk[0], x_0.float().cpu(), seconds, counted.evaluations, counted.gradients)
        _write_part(where, part)
        parts.append(part)
        bar.update(len(chunk))
    return [_Part(p.start, p.samples[: len(observation) - p.start], p.seconds, p.evaluations, p.gradients) for p in parts]


@contextmanager
def _explained(method: Method, folder: Path) -> Iterator[None]:
    """Say what to do when there is no room for a batch, and after Ctrl-C."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise KeyboardInterrupt(f"stopped in {method.label}; what is finished is in {folder}: the same call goes on from there.") from error
    except OutOfMemory as error:
        raise OutOfMemory(f"{method.label}: {error} Finished parts are kept.") from error


def _missing(count: int, done: set[int], size: int) -> list[range]:
    """Ranges of at most `size` images, none of which is done."""
    ranges, start = [], 0
    while start < count:
        if start in done:
            start += 1
            continue
        stop = start
        while stop < count and stop - start < size and stop not in done:
            stop += 1
        ranges.append(range(start, stop))
        start = stop
    return ranges


def _write_part(where: Path, part: _Part) -> None:
    buffer = io.BytesIO()
    costs = np.array([part.seconds, part.evaluations, part.gradients], dtype=np.float64)
    np.savez(buffer, start=part.start, samples=part.samples.numpy(), costs=costs)
    with atomic(where / f"{part.start:06d}-{part.start + len(part.samples):06d}.npz") as file:
        file.write(buffer.getvalue())


def _read_parts(where: Path) -> list[_Part]:
    parts = []
    for path in sorted(where.glob("*.npz")):
        try:
            with np.load(path, allow_pickle=False) as stored:
                seconds, evaluations, gradients = stored["costs"].tolist()
                parts.append(_Part(int(stored["start"]), torch.from_numpy(stored["samples"]), seconds, int(evaluations), int(gradients)))
        except Exception as error:
            raise CheckpointError(f"{path} cannot be read ({error}); delete it, and the same call will make it again.") from error
    return parts


def _claim(path: Path, card: Mapping[str, object], what: str) -> None:
    """Record a configuration, or raise `InvalidInput` where another one has been recorded, naming what differs."""
    ours = json.loads(json.dumps(card))
    if not path.exists():
        with atomic(path) as file:
            file.write(json.dumps(ours, indent=1).encode())
        return
    theirs = json.loads(path.read_text())
    changed = _changes(theirs, ours)
    if changed:
        raise InvalidInput(
            f"{path.parent} holds results of {what} in another configuration: {'; '.join(changed)}. Use another folder, or delete this one."
        )


def _changes(old: object, new: object, name: str = "") -> list[str]:
    """What differs, one clause each: `seed: 0 before, 1 now`."""
    if isinstance(old, dict) and isinstance(new, dict):
        keys = [*old, *(key for key in new if key not in old)]
        return [change for key in keys for change in _changes(old.get(key), new.get(key), f"{name}.{key}" if name else str(key))]
    return [] if old == new else [f"{name}: {json.dumps(old)} before, {json.dumps(new)} now"]


def describe(value: object) -> object:
    """An object as JSON: its class and its public attributes; weights and tensors by their hash.

    A function is its name alone, so that two lambdas look the same.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Tensor):
        import hashlib

        return hashlib.sha256(f"{tuple(value.shape)}".encode() + value.detach().cpu().float().numpy().tobytes()).hexdigest()[:16]
    if isinstance(value, Mapping):
        return {str(key): describe(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [describe(item) for item in value]
    kind = value if isinstance(value, type) or not hasattr(value, "__dict__") or hasattr(value, "__code__") else type(value)
    path = f"{getattr(kind, '__module__', '')}.{getattr(kind, '__qualname__', repr(kind))}"
    if kind is value:
        return path
    card: dict[str, object] = {"class_path": path}
    card |= {name: describe(item) for name, item in vars(value).items() if not name.startswith("_") and name != "training"}
    if isinstance(value, nn.Module):
        card["hash"] = state_hash(value)
        card |= {name: describe(part) for name, part in value.named_modules() if name and isinstance(part, HTransform)}
    return card


def _observe(prior: Prior, problem: Problem, images: Signal, seed: int) -> Observation:
    return problem.draw(images.to(prior.device, prior.dtype), Noise(_seeds(seed, 4, len(images)), prior.device, prior.dtype))


def _first_sentence(problem: Problem) -> str:
    """What the problem's own documentation says first; nothing for a class without any."""
    return (inspect.cleandoc(type(problem).__doc__ or "").splitlines() or [""])[0]


def _seeds(seed: int, stream: int, count: int) -> list[int]:
    return [mix(seed, stream, i) for i in range(count)]


def _count(method: Method, images: Signal) -> int:
    return min(method.images or len(images), len(images))


def _keep_pictures(folder: Path, images: Signal, observation: Observation, value_range: tuple[float, float] | None) -> None:
    """The first images and what was measured of them, for the report."""
    some = observation.take(range(len(images)))
    buffer = io.BytesIO()
    lifted, coverage = some.operator.lift(some.y), some.operator.coverage(images.to(some.y.device))
    np.savez_compressed(
        buffer,
        truth=images.float().cpu().numpy(),
        measurement=lifted.float().cpu().numpy(),
        coverage=coverage.float().cpu().numpy(),
        value_range=np.array(value_range or (float(images.min()), float(images.max()))),
    )
    with atomic(folder / "pictures.npz") as file:
        file.write(buffer.getvalue())


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _check(prior: Prior, images: Signal, methods: Sequence[Method], samples: int, clip: bool, reference: str | None) -> None:
    if len(images) == 0 or tuple(images.shape[1:]) != tuple(prior.event_shape):
        raise InvalidInput(f"the prior's signals have shape {tuple(prior.event_shape)}; got images of shape {tuple(images.shape)}.")
    if prior.num_observations not in (1, len(images)):
        raise InvalidInput(
            f"the prior is given context for {prior.num_observations} signals and there are {len(images)} images; give one for all, or one for each."
        )
    if samples < 1 or not methods:
        raise InvalidInput(f"an evaluation needs at least one method and one sample per image; got {len(methods)} and {samples}.")
    if clip and prior.value_range is None:
        raise InvalidInput("clip=True needs a prior whose card gives a value_range; this one has none.")
    low, high = prior.value_range or (-math.inf, math.inf)
    if float(images.min()) < low - 1e-3 or float(images.max()) > high + 1e-3:
        raise InvalidInput(
            f"the prior's range is [{low:g}, {high:g}]; the images hold values in [{float(images.min()):g}, {float(images.max()):g}]."
        )
    folders = [method.folder for method in methods]
    if len(set(folders)) < len(folders):
        raise InvalidInput(f"methods need different labels, since each has a folder of its own; got {', '.join(m.label for m in methods)}.")
    if reference is not None and reference not in [method.label for method in methods]:
        raise InvalidInput(f"the reference {reference!r} is none of the methods {', '.join(m.label for m in methods)}.")
