"""Slopes for `Calibrated`: how much of u - x_0_hat(y) an estimate leaves out, by noise level and
band, measured on images.

    x_0 ~ images,    y = A x_0 + noise,    x_t = alpha_t x_0 + sigma_t eps    at each level
    slope_b = sum_i <x_0 - x_0_hat(y), u - x_0_hat(y)>_b / sum_i ||u - x_0_hat(y)||_b^2

A slope is shrunk by 1 - (2 standard errors / slope)^2, to nothing within two standard errors of
zero; those of the lowest level, where u is nearly noise, are left at zero.
"""

from __future__ import annotations

import torch
from tqdm import tqdm

from deft.errors import InvalidInput
from deft.htransforms.base import HTransform
from deft.htransforms.calibrated import Calibrated
from deft.metrics.orthogonality import slopes
from deft.noise import Noise, mix
from deft.posterior import Posterior
from deft.priors.base import Prior
from deft.problems import Problem
from deft.training.measured import measured
from deft.types import Signal


@torch.no_grad()
def calibrate(
    h_transform: HTransform,
    prior: Prior,
    problem: Problem,
    images: Signal,
    *,
    low: float = 0.0,
    high: float = 9.0,
    levels: int = 10,
    seed: int = 0,
    batch_size: int = 16,
    progress: bool = True,
) -> Calibrated:
    """The h-transform with its slopes taken out, measured on `images` (batch, channels, *space),
    with a measurement of `problem` for each.

    `high` is cut to what the schedule reaches. 32 images are enough for slopes of a few per cent;
    cost: levels * images evaluations of prior and h-transform. The h-transform given is not
    changed. A prior with a codec takes what is looked at, which is encoded, or codes where their
    shape is another. Raises `InvalidInput` for fewer than two images, or a `high` below `low`.
    """
    images = images.to(prior.device, prior.dtype)
    seen = None
    if prior.codec is not None and tuple(images.shape[1:]) == tuple(prior.signal_shape):
        seen, images = images, prior.encode(images)
    if len(images) < 2:
        raise InvalidInput(f"calibrate measures on two images or more, 32 say; got {len(images)}.")
    high = min(high, prior.schedule.log_snr_range[1])
    made = Calibrated(h_transform, prior.event_shape, low=low, high=high, levels=levels)
    made.slopes, made.band = made.slopes.to(images), made.band.to(images.device)
    noise = Noise([mix(seed, i) for i in range(len(images))], images.device, images.dtype)
    observation = measured(problem, prior, images, noise.stream(1), seen)
    for level, log_snr in enumerate(
        tqdm(made.levels.tolist(), desc="slopes", disable=not progress)
    ):
        if level == 0:
            continue
        t = prior.schedule.time(torch.tensor([log_snr], dtype=torch.float64))
        alpha_t, sigma_t = prior.levels(images, t)
        x_t = alpha_t * images + sigma_t * prior.noise(noise, level)
        parts = [
            list(range(start, min(start + batch_size, len(images))))
            for start in range(0, len(images), batch_size)
        ]
        estimates = [
            Posterior(prior.take(part), h_transform, observation.take(part)).denoise(x_t[part], t)
            for part in parts
        ]
        found = slopes(images, x_t, alpha_t, torch.cat(estimates), made.edges)
        values, errors = torch.tensor(found.values), torch.tensor(found.standard_errors)
        sure = (1 - (2 * errors / values).square()).clamp(min=0).nan_to_num()
        made.slopes[level] = (sure * values).clamp(-1, 1).to(made.slopes)
    return made
