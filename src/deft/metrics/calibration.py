"""Calibration: whether a posterior is as wide as its errors are.

For x_0 ~ p(x_0), y ~ p(y | x_0) and samples x_1, ..., x_M ~ p(x_0 | y), the true x_0 is one more
sample: all M + 1 are exchangeable, so that

    rank(x_0 among x_1, ..., x_M) is uniform on 0, ..., M       (ties broken at random)
    u = (rank + v) / (M + 1),    v ~ U(0, 1)                    is uniform on [0, 1]
    P(|u - 1/2| <= L / 2) = L
            the coverage of central credible intervals of level L

exactly, for every quantity (a pixel, a linear functional) and any M. Averages go over observations
and over quantities of one observation; the latter depend on each other, so that standard errors
take the observations as independent and nothing else.

    CRPS(x_0) = E|X - x_0| - E|X - X'| / 2,    X, X' ~ p(x_0 | y)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from deft.errors import InvalidInput

_LEVELS = (0.5, 0.8, 0.95)


@final
@dataclass(frozen=True)
class Coverage:
    """The share of truths within central credible intervals of each level, with standard errors
    over observations.
    """

    levels: tuple[float, ...]
    values: tuple[float, ...]
    standard_errors: tuple[float, ...]
    observations: int

    def __str__(self) -> str:
        return ", ".join(
            f"{level:.3g}: {value:.3f} ± {error:.3f}"
            for level, value, error in zip(self.levels, self.values, self.standard_errors)
        )

    def card(self) -> dict[str, object]:
        """As JSON knows it."""
        return {
            "levels": list(self.levels),
            "values": list(self.values),
            "standard_errors": list(self.standard_errors),
            "observations": self.observations,
        }


@final
@dataclass(frozen=True)
class RankHistogram:
    """How often ranks fall into each bin, over how often they would if uniform: 1 is right,
    U-shaped too narrow, an arch too wide, a slope biased.

    `standard_errors` come from the spread over observations, as if deviations from 1 were chance;
    `p_value` is that of the hypothesis that they are. Both are right for many more observations
    than bins.
    """

    ratios: tuple[float, ...]
    standard_errors: tuple[float, ...]
    p_value: float
    observations: int

    def card(self) -> dict[str, object]:
        """As JSON knows it."""
        return {
            "ratios": list(self.ratios),
            "standard_errors": list(self.standard_errors),
            "p_value": self.p_value,
            "observations": self.observations,
        }


def ranks(
    samples: Float[Tensor, "observations samples *shape"],
    truth: Float[Tensor, " observations *shape"],
    *,
    seed: int = 0,
) -> Int[Tensor, " observations *shape"]:
    """The number of samples below the truth, entry by entry; where some are equal to it, each place
    among them is as likely.

    Talts et al. 2018, arXiv:1804.06788, Algorithm 1.
    """
    _check(samples, truth)
    below = (samples < truth[:, None]).sum(1)
    equal = (samples == truth[:, None]).sum(1)
    u = torch.rand(
        truth.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    ).to(truth.device)
    return below + torch.minimum((u * (equal + 1)).long(), equal)


def uncertain(
    samples: Float[Tensor, "observations samples *shape"],
    truth: Float[Tensor, " observations *shape"],
    threshold: float,
) -> Bool[Tensor, " observations *shape"]:
    """Which entries have a posterior standard deviation above `threshold`, that of samples and
    truth together.

    The truth counts as one more sample, since a choice that looks at the samples alone is less
    likely where the truth lies outside them, and would bias the ranks.
    """
    _check(samples, truth)
    return torch.cat([samples, truth[:, None]], dim=1).std(1) > threshold


def linear_functionals(
    samples: Float[Tensor, "observations samples *event"],
    truth: Float[Tensor, " observations *event"],
    number: int = 50,
    *,
    seed: int = 0,
) -> tuple[Float[Tensor, "observations samples number"], Float[Tensor, "observations number"]]:
    """Inner products with `number` random unit vectors, the same for all observations."""
    _check(samples, truth)
    directions = torch.randn(
        truth[0].numel(), number, generator=torch.Generator().manual_seed(seed)
    )
    directions = (directions / directions.norm(dim=0)).to(truth)
    return samples.flatten(2).to(truth) @ directions, truth.flatten(1) @ directions


def coverage(
    ranks: Int[Tensor, " observations *shape"],
    num_samples: int,
    levels: Sequence[float] = _LEVELS,
    *,
    where: Bool[Tensor, " observations *shape"] | None = None,
    seed: int = 0,
) -> Coverage:
    """The coverage of central credible intervals, from ranks among `num_samples` samples.

    The interval of level L lies between order statistics of the samples, which of two neighbouring
    ones at random, such that the coverage is L exactly if the ranks are uniform; interpolated
    quantiles of few samples cover less. `where` chooses entries.
    """
    if not all(0 < level < 1 for level in levels):
        raise InvalidInput(
            f"the level of a credible interval lies between 0 and 1; got {list(levels)}."
        )
    chosen = _chosen(ranks, num_samples, where)
    v = torch.rand(
        ranks.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    ).to(ranks.device)
    distance = (((ranks + v) / (num_samples + 1)) - 0.5).abs().flatten(1)
    count = chosen.sum(1).double()
    values, errors = [], []
    for level in levels:
        hits = ((distance <= level / 2) & chosen).sum(1).double()
        share = hits.sum() / count.sum()
        values.append(float(share))
        errors.append(float(_error_of_ratio(hits - share * count, count)))
    return Coverage(
        tuple(float(level) for level in levels),
        tuple(values),
        tuple(errors),
        int((count > 0).sum()),
    )


def rank_histogram(
    ranks: Int[Tensor, " observations *shape"],
    num_samples: int,
    bins: int = 20,
    *,
    where: Bool[Tensor, " observations *shape"] | None = None,
) -> RankHistogram:
    """The histogram of ranks among `num_samples` samples, over what is expected of uniform ones.

    Bins may hold unequal numbers of ranks; there are at most num_samples + 1. The p-value is that
    of the score test

        T = n d^T S^{-1} d ~ chi^2(bins - 1),    d = mean_i f_i - e,
        S = mean_i (f_i - e)(f_i - e)^T

    with f_i the frequencies in observation i and e the expected ones.
    """
    chosen = _chosen(ranks, num_samples, where)
    bins = min(bins, num_samples + 1)
    place = torch.div(ranks.flatten(1) * bins, num_samples + 1, rounding_mode="floor")
    expected = torch.bincount(
        torch.arange(num_samples + 1) * bins // (num_samples + 1), minlength=bins
    ).double() / (num_samples + 1)
    expected = expected.to(ranks.device)
    counts = torch.stack([((place == k) & chosen).sum(1) for k in range(bins)], dim=1).double()
    number = counts.sum(1, keepdim=True)

    share = counts.sum(0) / number.sum()
    excess = counts - expected * number
    errors = _error_of_ratio(excess, number)
    free = excess[:, :-1]
    total = free.sum(0)
    statistic = total @ torch.linalg.pinv(free.T @ free, hermitian=True) @ total
    p_value = (
        torch.special.gammaincc(
            torch.tensor((bins - 1) / 2, dtype=torch.float64), statistic.cpu() / 2
        )
        if bins > 1
        else torch.ones(())
    )
    return RankHistogram(
        tuple((share / expected).tolist()),
        tuple((errors / expected).tolist()),
        float(p_value),
        int((number > 0).sum()),
    )


def crps(
    samples: Float[Tensor, "observations samples *shape"],
    truth: Float[Tensor, " observations *shape"],
) -> Float[Tensor, " observations *shape"]:
    """The continuous ranked probability score, entry by entry, in the units of the signal; lower is
    better.

    Gneiting & Raftery 2007, doi:10.1198/016214506000001437, eq. 21, by its unbiased estimate (the
    mean over pairs of different samples), so that methods may be compared with different numbers of
    samples.
    """
    _check(samples, truth)
    m = samples.shape[1]
    if m < 2:
        raise InvalidInput("the CRPS of a distribution needs at least two samples; got 1.")
    error = (samples - truth[:, None]).abs().mean(1)
    weight = 2 * torch.arange(m, dtype=samples.dtype, device=samples.device) + 1 - m
    spread = torch.einsum("nm...,m->n...", samples.sort(1).values, weight) / (m * (m - 1))
    return error - spread


def _error_of_ratio(residuals: Tensor, count: Tensor) -> Tensor:
    """The standard error of a sum over a sum of counts, over observations: (sum of residual^2 n /
    (n - 1))^(1/2) / sum of counts.
    """
    n = len(residuals)
    return (residuals.square().sum(0) * n / max(n - 1, 1)).sqrt() / count.sum()


def _chosen(ranks: Tensor, num_samples: int, where: Tensor | None) -> Tensor:
    """Which entries count: (observations, entries)."""
    if len(ranks) < 2 or not 0 <= int(ranks.min()) <= int(ranks.max()) <= num_samples:
        raise InvalidInput(
            f"ranks among {num_samples} samples run from 0 to {num_samples}, for at least two "
            f"observations; got {len(ranks)} observations"
            + (
                f" with ranks from {int(ranks.min())} to {int(ranks.max())}."
                if ranks.numel()
                else "."
            )
        )
    where = torch.ones_like(ranks, dtype=torch.bool) if where is None else where
    if where.shape != ranks.shape:
        raise InvalidInput(
            f"`where` chooses entries of ranks of shape {tuple(ranks.shape)}; got "
            f"{tuple(where.shape)}."
        )
    if not bool(where.any()):
        raise InvalidInput(
            "`where` leaves no entry: a lower threshold of the standard deviation does."
        )
    return where.flatten(1)


def _check(samples: Tensor, truth: Tensor) -> None:
    if (
        samples.ndim < 2
        or samples[:, :1].shape[2:] != truth.shape[1:]
        or len(samples) != len(truth)
    ):
        raise InvalidInput(
            "samples have the shape (observations, samples, *event) and truths (observations, "
            f"*event); got {tuple(samples.shape)} and {tuple(truth.shape)}."
        )
    if min(samples.shape[:2]) < 1:
        raise InvalidInput(
            f"calibration needs observations and samples; got {len(samples)} observations with "
            f"{samples.shape[1]} samples."
        )
    if not bool(samples.isfinite().all()) or not bool(truth.isfinite().all()):
        raise InvalidInput(
            "samples or truths are not finite; leave those observations out, and say so."
        )
