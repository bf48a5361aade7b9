"""Tests of what is assumed of a network beside its weights, on images.

    u = x + v eps,    x in (-1, 1),    v = exp(-log-SNR / 2)

at five noise levels, the same u for every assumption: a network of values in (a, b) is given
a + (b - a) (u + 1) / 2. Its error is compared with that of a linear denoiser, fitted to the other
half of the images (a variance per frequency, or their full covariance where there are many): a
network that is told what it was trained with does better at every level.

Attention with the wrong heads may still do better. So each assumption is changed on its own, and is
doubted where the change lowers the error by more than five standard errors over images (of the
paired differences) and 1 %. The best change is then made, and the others are tried again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor

from deft.errors import DeftError
from deft.noise import Noise
from deft.priors.base import Prior
from deft.priors.spectral_gaussian import SpectralGaussian

LEVELS = (-3.0, -1.0, 1.0, 3.0, 5.0)
_CHOICES: dict[str, tuple[Any, ...]] = {
    "value_range": ((-1.0, 1.0), (0.0, 1.0)),
    "noise_schedule": ("linear", "cosine", "scaled_linear"),
    "prediction_type": ("epsilon", "sample", "v_prediction"),
    "attention_order": ("legacy", "new"),
    "heads": (
        *({"num_heads": n} for n in (1, 2, 4, 8)),
        *({"num_head_channels": n} for n in (16, 32, 64)),
    ),
}
_ERRORS, _LEAST, _ROUNDS = 5.0, 0.01, 3
Made = Callable[[Mapping[str, Any]], Prior]  # a prior, of assumptions by name


@final
@dataclass(frozen=True)
class Doubt:
    """An assumption, another value that does better, by which share of the error, and by how many
    standard errors of the difference.
    """

    name: str
    given: Any
    better: Any
    share: float
    errors: float


@final
@dataclass(frozen=True)
class Examined:
    """The error at each of `LEVELS` as a share of the linear denoiser's, for the assumptions as
    given and with all changes made, what is doubted, and at which levels the latter is behind the
    linear denoiser, by more than two standard errors over images.
    """

    given: tuple[float, ...]
    changed: tuple[float, ...]
    doubts: tuple[Doubt, ...]
    behind: tuple[float, ...]


def examined(
    made: Made,
    assumed: Mapping[str, Any],
    images: Tensor,
    on_step: Callable[[], object] = lambda: None,
) -> Examined:
    """Test what is `assumed` on images (n, *event), n >= 4, in (-1, 1); `made` builds the prior of
    such assumptions, and raises for what does not go together. `on_step` is called after each
    prior.
    """
    linear = _linear(images)

    def errors(assumptions: Mapping[str, Any]) -> Tensor | None:
        try:
            prior = made(assumptions)
        except DeftError:
            return None
        found = _errors(prior, images) / linear
        on_step()
        return found

    now = dict(assumed)
    first = errors(now)
    assert first is not None
    best, doubts = first, []
    for _ in range(_ROUNDS):
        found = [
            (doubt, theirs)
            for name, value in changes(now)
            if (theirs := errors({**now, name: value})) is not None
            and (doubt := _doubt(name, now[name], value, best, theirs)) is not None
        ]
        if not found:
            break
        doubt, best = max(found, key=lambda pair: pair[0].share)
        now[doubt.name] = doubt.better
        doubts.append(doubt)
    return Examined(
        tuple(first.mean(0).tolist()),
        tuple(best.mean(0).tolist()),
        _merged(doubts, assumed),
        _behind(best),
    )


def changes(assumed: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Every other value of every assumption, one at a time."""
    for name, choices in _CHOICES.items():
        for value in choices:
            if name in assumed and value != assumed[name]:
                yield name, value


def _doubt(name: str, given: Any, value: Any, ours: Tensor, theirs: Tensor) -> Doubt | None:
    """Whether another value does better, of errors (n, levels) as shares of the linear ones."""
    gap = (ours - theirs).mean(1)
    share = float(gap.mean() / ours.mean())
    spread = float(gap.std() / len(gap) ** 0.5)
    errors = float(gap.mean()) / max(spread, 1e-12)
    better = bool(theirs.isfinite().all()) and share > _LEAST and errors > _ERRORS
    return Doubt(name, given, value, share, errors) if better else None


def _behind(errors: Tensor) -> tuple[float, ...]:
    """The levels at which errors (n, levels), shares of the linear ones, are above 1."""
    least = errors.mean(0) - 2 * errors.std(0) / len(errors) ** 0.5
    return tuple(level for level, low in zip(LEVELS, least.tolist()) if not low < 1)


def _merged(doubts: list[Doubt], assumed: Mapping[str, Any]) -> tuple[Doubt, ...]:
    """One doubt for each assumption that ended as another: the last, from what was given."""
    last = {doubt.name: doubt for doubt in doubts}
    return tuple(
        Doubt(doubt.name, assumed[doubt.name], doubt.better, doubt.share, doubt.errors)
        for doubt in last.values()
        if doubt.better != assumed[doubt.name]
    )


def _noisy(images: Tensor, level: int) -> tuple[Tensor, float]:
    v = math.exp(-LEVELS[level] / 2)
    eps = Noise(range(len(images))).normal(level, tuple(images.shape[1:]))
    return images + v * eps, v


def _linear(images: Tensor) -> Tensor:
    """The error of the linear denoiser at each level: each half by the one fitted to the other."""
    one = torch.ones(1, *[1] * (images.ndim - 1))
    halves = (images[::2], images[1::2])
    many = len(images) > 4 * images[0].numel()
    fitted = [
        SpectralGaussian(tuple(images.shape[1:]), "principal" if many else "cosines").fit(half)
        for half in halves
    ]
    found = []
    for level in range(len(LEVELS)):
        u, v = _noisy(images, level)
        total = sum(
            float((fitted[1 - k].denoise(u[k::2], one, v * one) - halves[k]).square().sum())
            for k in range(2)
        )
        found.append(total / images.numel())
    return torch.tensor(found)


@torch.no_grad()
def _errors(prior: Prior, images: Tensor) -> Tensor:
    """The squared error of each image at each level, in the units of (-1, 1)."""
    low, high = prior.value_range or (-1.0, 1.0)
    half = (high - low) / 2
    found = []
    for level in range(len(LEVELS)):
        u, _ = _noisy(images, level)
        log_snr = torch.tensor([LEVELS[level] - 2 * math.log(half)], dtype=torch.float64)
        t = prior.schedule.time(log_snr)
        x_t = (low + half * (u + 1)).to(prior.device)
        estimates = [
            prior.denoise(prior.levels(part, t)[0] * part, t.to(prior.device)).cpu()
            for part in x_t.split(16)
        ]
        x_0_hat = (torch.cat(estimates) - low) / half - 1
        found.append((x_0_hat - images).square().flatten(1).mean(1))
    return torch.stack(found, 1)
