"""The measures of a method's samples, and which method is ahead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from torch import Tensor

from deft.likelihoods import Observation
from deft.metrics.distribution import patch_distance_leaving_out
from deft.metrics.image import misfit, psnr, root_mean_square, ssim
from deft.metrics.learned import Weights
from deft.studies.estimate import Estimate, groups
from deft.studies.learned import Judged, by_features, by_lpips
from deft.studies.method import Method
from deft.studies.parts import Part
from deft.types import Signal

PATCHES, PROJECTIONS = 64, 128
FEWEST = 5
"""With fewer images a standard error says too little of itself for a method to be called ahead."""


@final
@dataclass(frozen=True)
class Measure:
    """One column of the table. `better` is `higher`, `lower`, `one` (1 is right) or `none` (a
    cost).
    """

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
    Measure("judged_kid", "KID (EfficientNet-Lite0)", "×10³", "lower", 1),
    Measure("feature_distance", "Feature distance of a sample", "", "lower", 3),
    Measure("agreement", "Class of a sample is the truth's", "", "higher", 2),
    Measure("misfit", "Misfit", "", "one", 3),
    Measure("alarm", "Alarms", "% of images", "none", 0),
    Measure("evaluations", "Prior evaluations", "per sample", "none", 0),
    Measure("own_evaluations", "Evaluations of h", "per sample", "none", 0),
    Measure("prior_gradients", "Prior gradients", "per sample", "none", 0),
    Measure("solver_iterations", "Iterations of conjugate gradients", "per sample", "none", 0),
    Measure("seconds", "Time", "s / image", "none", 2),
    Measure("training_seconds", "Training", "s, once", "none", 0),
    Measure("total_seconds", "Time, training counted in", "s / image", "none", 2),
    Measure("peak_memory", "Peak memory", "GiB", "none", 2),
)


@final
class Scores:
    """The measures of one method, over all of its images or the first few.

    Samples are aligned with the truth first where the measurement has symmetries
    (`ForwardOperator.align`). `own_evaluations` is that of networks of the method's own beside each
    evaluation of the prior. `training_seconds` is what they took to learn, which the images share;
    None leaves it out.
    """

    def __init__(
        self,
        parts: list[Part],
        truth: Signal,
        observation: Observation,
        value_range: tuple[float, float] | None,
        clip: bool,
        weights: Weights,
        *,
        own_evaluations: float = 0,
        training_seconds: float | None = None,
    ) -> None:
        parts = sorted(parts, key=lambda part: part.start)
        samples = torch.cat([part.samples for part in parts])
        if clip and value_range is not None:
            samples = samples.clamp(*value_range)
        self.count, self.samples, self.truth = len(samples), samples, truth[: len(samples)]
        drawn, self.samples = samples, _aligned(samples, self.truth, observation)
        low, high = self.value_range = value_range or (float(truth.min()), float(truth.max()))
        self.features = weights.features
        self.per_image = {
            k: v.double().tolist()
            for k, v in _image_measures(
                self.samples, drawn, self.truth, observation, high - low
            ).items()
        }
        if weights.lpips is not None and weights.lpips_heads is not None:
            self.per_image["lpips"] = by_lpips(self.samples, self.truth, self.value_range, weights)
        self.judged: Judged | None = None
        if weights.judge is not None:
            self.judged = Judged.of(self.samples, self.truth, self.value_range, weights.judge)
            self.per_image["feature_distance"] = self.judged.distance.tolist()
            self.per_image["agreement"] = self.judged.agreement.tolist()
        for key, total in (
            ("seconds", "seconds"),
            ("evaluations", "evaluations"),
            ("prior_gradients", "gradients"),
        ):
            each = 1 if key == "seconds" else samples.shape[1]
            self.per_image[key] = [
                getattr(part, total) / (len(part.samples) * each)
                for part in parts
                for _ in part.samples
            ]
        iterations = [
            part.iterations / (len(part.samples) * samples.shape[1])
            for part in parts
            for _ in part.samples
        ]
        if any(iterations):
            self.per_image["solver_iterations"] = iterations
        if own_evaluations:
            self.per_image["own_evaluations"] = [
                own_evaluations * n for n in self.per_image["evaluations"]
            ]
        if training_seconds is not None:
            self.per_image["total_seconds"] = [
                s + training_seconds / self.count for s in self.per_image["seconds"]
            ]
        memory = [part.memory for part in parts if part.memory is not None]
        once = {
            "training_seconds": training_seconds,
            "peak_memory": max(memory) / 2**30 if memory else None,
        }
        self.once = {key: value for key, value in once.items() if value is not None}
        self.cards = [card for part in parts for card in part.weights]
        broken = (~torch.isfinite(samples.flatten(2))).any(2)
        self.broken, self.broken_images = (
            int(broken.sum()),
            broken.any(1).nonzero().flatten().tolist(),
        )
        self._sets: dict[tuple[str, int], Estimate | None] = {}

    def estimate(self, key: str, count: int) -> Estimate | None:
        """A measure over the first `count` images; None where it is not defined for such signals,
        or its weights were not given.
        """
        if key in ("patch_distance", "fid", "kid", "judged_kid"):
            if (key, count) not in self._sets:
                self._sets[key, count] = self._between_sets(
                    key, self.samples[:count], self.truth[:count]
                )
            return self._sets[key, count]
        if key in self.once:
            return Estimate(self.once[key], (), count)
        if key not in self.per_image:
            return None
        values = self.per_image[key][:count]
        return Estimate.root_mean_square(values) if key == "misfit" else Estimate.mean(values)

    def difference(self, other: Scores, key: str, count: int) -> Estimate | None:
        """This method minus the other over the first `count` images; None where the measure is not
        defined for one of them.
        """
        left, right = self.estimate(key, count), other.estimate(key, count)
        return None if left is None or right is None else left - right

    def _between_sets(self, key: str, samples: Tensor, truth: Signal) -> Estimate | None:
        if len(truth) < 2 or not bool(torch.isfinite(samples).all()):
            return None
        if key == "patch_distance":
            return _patch_estimate(samples, truth)
        if key == "judged_kid":
            return None if self.judged is None else self.judged.kid(len(truth))
        return (
            None
            if self.features is None
            else by_features(key, samples, truth, self.value_range, self.features)
        )


def _aligned(samples: Tensor, truth: Signal, observation: Observation) -> Tensor:
    """Every sample under the symmetry of its operator that brings it nearest to the truth; the
    samples themselves where there is none.
    """
    if not observation.operator.symmetries:
        return samples
    operators = [observation.take([i] * samples.shape[1]).operator for i in range(len(samples))]
    return torch.stack(
        [a.align(x, x_0.expand_as(x)) for a, x, x_0 in zip(operators, samples, truth, strict=True)]
    )


def _image_measures(
    samples: Tensor, drawn: Tensor, truth: Signal, observation: Observation, data_range: float
) -> dict[str, Tensor]:
    """The measures that every image has of its own; of single samples, averaged over its samples.
    The misfit is that of the samples as drawn.
    """
    found: dict[str, list[Tensor]] = {}
    has_windows = truth.ndim > 2 and min(truth.shape[2:]) >= 11
    for i, x in enumerate(samples):
        clean, mean = truth[i : i + 1], x.mean(0, keepdim=True)
        repeated = clean.expand_as(x)
        here = observation.take([i] * len(x))
        row = {
            "psnr_mean": psnr(mean, clean, data_range),
            "psnr_single": psnr(x, repeated, data_range),
        }
        if has_windows:
            row |= {
                "ssim_mean": ssim(mean, clean, data_range),
                "ssim_single": ssim(x, repeated, data_range),
            }
        for key, value in row.items():
            found.setdefault(key, []).append(value.mean())
        if here.likelihood.has_misfit:
            found.setdefault("misfit", []).append(
                root_mean_square(misfit(drawn[i].to(here.y.device), here)).cpu()
            )
    return {key: torch.stack(values) for key, values in found.items()}


def _patch_estimate(samples: Tensor, truth: Signal) -> Estimate | None:
    """The patch distance between the truth and the j-th samples of all images, averaged over levels
    and over j.
    """
    if truth.ndim not in (3, 4) or min(truth.shape[2:]) < 7:
        return None
    parted = groups(len(truth))
    rows = np.array(
        [
            patch_distance_leaving_out(
                samples[:, j], truth, parted, patches=PATCHES, projections=PROJECTIONS
            )
            for j in range(samples.shape[1])
        ]
    ).mean(axis=(0, 2))
    return Estimate(float(rows[0]), tuple(float(row) for row in rows[1:]), len(truth))


def best(measure: Measure, methods: Sequence[Method], scores: Mapping[str, Scores]) -> str | None:
    """The method that beats every other conditional one by more than two standard errors of the
    paired difference, over `FEWEST` images or more; or None.
    """
    sign = {"higher": 1, "lower": -1}.get(measure.better)
    labels = [method.label for method in methods if method.conditions]
    if sign is None or len(labels) < 2:
        return None
    for label in labels:
        others = [scores[other] for other in labels if other != label]
        gaps = [
            scores[label].difference(other, measure.key, min(scores[label].count, other.count))
            for other in others
        ]
        if all(
            gap is not None and gap.count >= FEWEST and sign * gap.value > 2 * gap.standard_error
            for gap in gaps
        ):
            return label
    return None
