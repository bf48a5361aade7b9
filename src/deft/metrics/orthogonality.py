"""Orthogonality: whether an estimate of x_0 takes from x_t all that there is to take, without
drawing a sample.

With u = x_t / alpha_t, the error of a posterior mean is orthogonal to every function of what it was
told (x_t, and y where there is one), to u - x_0_hat too, in every band of frequencies:

    E <x_0 - x_0_hat, u - x_0_hat>_band = 0    for x_0_hat = E[x_0 | x_t, y]

    slope = E <x_0 - x_0_hat, u - x_0_hat>_band / E ||u - x_0_hat||^2_band

is the share of the way from x_0_hat to u that would make the error least. Above zero the estimate
follows x_t too little, and samples are narrower than the posterior; below zero too much. For a
white Gaussian, x_0_hat = k' u where k is right: slope = (k - k') / (1 - k').
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from deft.errors import InvalidInput
from deft.htransforms.calibrated import radial_frequency
from deft.types import Signal, expand

_EDGES = (0.0, 0.05, 0.15, 0.3, 0.75)


@final
@dataclass(frozen=True)
class Slopes:
    """The slope in each band between two `edges`, in cycles per entry, with standard errors over
    signals.
    """

    edges: tuple[float, ...]
    values: tuple[float, ...]
    standard_errors: tuple[float, ...]
    signals: int

    def __str__(self) -> str:
        bands = zip(self.edges, self.edges[1:], self.values, self.standard_errors)
        return ", ".join(
            f"{low:g} to {high:g}: {value:+.3f} ± {error:.3f}" for low, high, value, error in bands
        )


def slopes(
    x_0: Signal, x_t: Signal, alpha_t: Tensor, x_0_hat: Signal, edges: Sequence[float] = _EDGES
) -> Slopes:
    """The slope in each band of frequencies, with its standard error over signals.

        slope = sum_i a_i / sum_i b_i,    a_i = <x_0 - x_0_hat, u - x_0_hat>_band,
        b_i = ||u - x_0_hat||^2_band

    Signals (batch, channels, *space) of one noise level, alpha_t one for all or one for each;
    `edges` of the bands in cycles per entry (0.71 is the corner of an image). The standard error is
    that of a ratio of sums, to first order. Raises `InvalidInput` for shapes that differ, fewer
    than two signals, edges that do not rise, or a band without frequencies.
    """
    if not x_0.shape == x_t.shape == x_0_hat.shape or x_0.dim() < 3 or len(x_0) < 2:
        raise InvalidInput(
            "slopes compares two or more signals (batch, channels, *space) with as many x_t and "
            "estimates; "
            f"got {tuple(x_0.shape)}, {tuple(x_t.shape)} and {tuple(x_0_hat.shape)}."
        )
    if len(edges) < 2 or any(low >= high for low, high in itertools.pairwise(edges)):
        raise InvalidInput(
            f"the edges of bands of frequencies rise, as 0, 0.1, 0.5 do; got {list(edges)}."
        )
    u = x_t / expand(alpha_t, x_t)
    axes = tuple(range(2, x_0.dim()))
    error, towards = (torch.fft.fftn(x.double(), dim=axes) for x in (x_0 - x_0_hat, u - x_0_hat))
    frequency = radial_frequency(x_0.shape[2:]).to(x_0.device)
    values, errors, n = [], [], len(x_0)
    for low, high in itertools.pairwise(edges):
        band = (frequency >= low) & (frequency < high)
        if not bool(band.any()):
            raise InvalidInput(
                f"signals of shape {tuple(x_0.shape[1:])} have no frequency from {low} to {high}; "
                "choose other edges."
            )
        a = (error * towards.conj()).real[..., band].flatten(1).sum(1)
        b = towards.abs().square()[..., band].flatten(1).sum(1)
        slope = a.sum() / b.sum()
        values.append(float(slope))
        errors.append(float((n / (n - 1) * (a - slope * b).square().sum()).sqrt() / b.sum()))
    return Slopes(tuple(edges), tuple(values), tuple(errors), n)
