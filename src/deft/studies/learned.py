"""Measures of a method's samples in the feature space of trained networks, over images.

Each is averaged over the samples of an image (LPIPS, the judge's distance and agreement), or taken
between the truth and the j-th samples of all images and averaged over j (FID, KID).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self, final

import numpy as np
import torch
from torch import Tensor

from deft.metrics.judge import load_judge
from deft.metrics.learned import Weights, features, frechet_distance, kernel_distance, lpips
from deft.studies.estimate import Estimate, groups
from deft.types import Signal


@final
@dataclass(frozen=True)
class Judged:
    """What a learned judge says of samples: per image, its distance to the truth and how often
    their classes agree (n,); and the pooled features of the truth and of the j-th samples (n, d).
    """

    distance: Tensor
    agreement: Tensor
    real: Tensor
    drawn: tuple[Tensor, ...]

    @classmethod
    def of(
        cls,
        samples: Tensor,
        truth: Signal,
        value_range: tuple[float, float],
        judge: str | Path,
    ) -> Self:
        """Samples (n, k, *event) beside the truth (n, *event)."""
        network, _ = load_judge(judge)
        real = network.see(truth, value_range)
        drawn = [network.see(samples[:, j], value_range) for j in range(samples.shape[1])]
        return cls(
            torch.stack([seen.distance(real) for seen in drawn]).double().mean(0),
            torch.stack([seen.agrees(real) for seen in drawn]).double().mean(0),
            real.pooled,
            tuple(seen.pooled for seen in drawn),
        )

    def kid(self, count: int) -> Estimate:
        """KID over the first `count` images."""
        return kernel_estimate([f[:count] for f in self.drawn], self.real[:count])


def by_lpips(
    samples: Tensor, truth: Signal, value_range: tuple[float, float], weights: Weights
) -> list[float]:
    """LPIPS of single samples, averaged over the samples of each image."""
    files = {"weights": weights.lpips, "heads": weights.lpips_heads}
    found = [
        lpips(samples[:, j], truth, value_range, network=weights.lpips_network, **files).value
        for j in range(samples.shape[1])
    ]
    return torch.stack([torch.as_tensor(value) for value in found]).mean(0).tolist()


def by_features(
    key: str, samples: Tensor, truth: Signal, value_range: tuple[float, float], weights: str | Path
) -> Estimate:
    """FID or KID between the truth and the j-th samples of all images, averaged over j; FID, which
    is biased by the number of images, has no jackknife.
    """
    real = features(truth, value_range, weights)
    drawn = [features(samples[:, j], value_range, weights) for j in range(samples.shape[1])]
    if key == "fid":
        values = [frechet_distance(f.mean(0), f.T.cov(), real.mean(0), real.T.cov()) for f in drawn]
        return Estimate(float(np.mean(values)), (), len(truth))
    return kernel_estimate(drawn, real)


def kernel_estimate(drawn: Sequence[Tensor], real: Tensor) -> Estimate:
    """KID, times 1000, between features of the truth (n, d) and those of the j-th samples of all
    images, averaged over j.
    """
    count = len(real)
    parted = groups(count) if count > 2 else []
    kept = [sorted(set(range(count)) - set(group)) for group in ([], *parted)]
    rows = [
        1000 * float(np.mean([kernel_distance(f[rest], real[rest]) for f in drawn]))
        for rest in kept
    ]
    return Estimate(rows[0], tuple(rows[1:]), count)
