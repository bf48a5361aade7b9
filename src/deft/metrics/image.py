"""Measures of one restored image against the truth, and against what was measured.

    PSNR(x, x_0) = 10 log10( range^2 / mean (x - x_0)^2 )

    SSIM(x, x_0) = mean over windows of
            (2 m_x m_0 + c_1)(2 s_x0 + c_2) / ((m_x^2 + m_0^2 + c_1)(s_x^2 + s_0^2 + c_2))

    misfit(x, y) = ||y - A x|| / (sigma_y sqrt(m))

One number per image; averages are the caller's. Nothing is clipped or rescaled: what is compared is
what was given.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from deft.errors import InvalidInput
from deft.likelihoods import Observation
from deft.types import LogProb, Signal

_WINDOW, _SIGMA = 11, 1.5
_NOISELESS = 0.05  # a residual above this share of y's own root mean square is far from 0


def psnr(x: Signal, reference: Signal, data_range: float) -> LogProb:
    """Peak signal-to-noise ratio in dB, one per image, over all its channels; infinite for equal
    images.

    `data_range` is the width of the range of values: 2 for images in [-1, 1].
    """
    _check_pair("PSNR", x, reference, data_range)
    error = (x.double() - reference.double()).flatten(1).square().mean(1)
    return (10 * torch.log10(data_range**2 / error)).to(x.dtype)


def ssim(x: Signal, reference: Signal, data_range: float) -> LogProb:
    """Structural similarity, one per image, the mean over channels and over windows that lie within
    the image.

    Wang et al. 2004, doi:10.1109/TIP.2003.819861: Gaussian windows of 11 places and standard
    deviation 1.5, c_1 = (0.01 range)^2, c_2 = (0.03 range)^2, variances divided by the number of
    places. Signals of shape (channels, length) have windows along their one axis.
    """
    _check_pair("SSIM", x, reference, data_range)
    axes = x.ndim - 2
    if axes < 1 or min(x.shape[2:]) < _WINDOW:
        raise InvalidInput(
            f"SSIM compares windows of {_WINDOW} places and needs signals of shape (channels, "
            "*space), each axis at least that long; "
            f"got {tuple(x.shape[1:])}; use PSNR."
        )
    a, b = x.double(), reference.double()
    m_x, m_0 = _smooth(a), _smooth(b)
    s_x, s_0, s_x0 = _smooth(a * a) - m_x**2, _smooth(b * b) - m_0**2, _smooth(a * b) - m_x * m_0
    c_1, c_2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    similarity = (
        (2 * m_x * m_0 + c_1) * (2 * s_x0 + c_2) / ((m_x**2 + m_0**2 + c_1) * (s_x + s_0 + c_2))
    )
    return similarity.flatten(1).mean(1).to(x.dtype)


def misfit(x: Signal, observation: Observation) -> LogProb:
    """||y - A x|| / (sigma_y sqrt(m)), one per image; at sigma_y = 0 the residual ||y
        - A x|| / sqrt(m); likewise for other noise (`Likelihood.misfit`).

    1 is right: a sample of the posterior explains y as well as the truth does, so that below 1 is
    as wrong as above.
    """
    return observation.likelihood.misfit(x, observation.y)


def root_mean_square(values: Tensor) -> Tensor:
    """The root of the mean square: how misfits of many images are put into one number, whose square
    is 1 on average.
    """
    return values.square().mean().sqrt()


def _smooth(x: Tensor) -> Tensor:
    """Gaussian windows along every axis of space, where they lie within the signal."""
    place = torch.arange(_WINDOW, dtype=x.dtype, device=x.device) - _WINDOW // 2
    weights = torch.exp(-(place**2) / (2 * _SIGMA**2))
    weights = weights / weights.sum()
    for axis in range(2, x.ndim):
        x = x.unfold(axis, _WINDOW, 1) @ weights
    return x


def _check_pair(name: str, x: Tensor, reference: Tensor, data_range: float) -> None:
    if x.shape != reference.shape:
        raise InvalidInput(
            f"{name} compares images of the same shape; got {tuple(x.shape)} and "
            f"{tuple(reference.shape)}."
        )
    if not data_range > 0:
        raise InvalidInput(
            "data_range is the width of the range of values (2 for [-1, 1]) and must be > 0; got "
            f"{data_range}."
        )


def far_from_right(value: float, observed: Observation) -> str:
    """On which side the misfit of one observation is far from what is right, "above" or "below";
    empty where it is not.

    Right is 1 with a standard deviation of 1 / sqrt(2 m); far is beyond a half and four of these.
    Without noise the misfit is a residual, and far above a twentieth of y.
    """
    if not bool((observed.sigma_y > 0).all()):
        size = float(observed.y.abs().square().mean().sqrt())
        return "above" if not value <= _NOISELESS * max(size, 1e-12) else ""
    count = float(observed.operator.count(observed.y).float()[0])
    slack = max(0.5, 4 / math.sqrt(2 * max(count, 1.0)))
    return "above" if not value <= 1 + slack else "below" if value < 1 - slack else ""
