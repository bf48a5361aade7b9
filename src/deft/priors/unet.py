"""A U-Net prior that starts from the Gaussian denoiser.

    x_0_hat = W_t(x_t) + c_t k_t F(x_t / c_in, W_t(x_t) / s, log-SNR_t)

    W_t(x_t) = m + D^T diag(alpha_t v / (alpha_t^2 v + sigma_t^2)) D (x_t - alpha_t m)
    c_t^2    = mean of v sigma_t^2 / (alpha_t^2 v + sigma_t^2)

W_t is the Wiener filter of a Gaussian with mean m and variances v in the basis D
(deft.priors.spectral_gaussian); it is the preconditioning of Karras et al. 2022 (arXiv:2206.00364,
eq. 7) with its scalar skip connection c_skip replaced by a spectral one. c_t is the standard
deviation of what the filter leaves over, so that the network F learns a target of unit variance at
every noise level, and at its zero start the prior is the Gaussian one. k_t, one by default, is what
F is worth at each noise level: the factor of least squared error (`fit_gain`), near zero where the
data are Gaussian for all one can see.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import final

import torch
from torch import Tensor

from deft import checks
from deft.errors import InvalidInput
from deft.networks import UNet
from deft.noise import Noise, mix
from deft.priors.base import Prior
from deft.priors.spectral_gaussian import SpectralGaussian
from deft.schedules import Schedule
from deft.types import Signal, Times, expand


@final
class UNetPrior(Prior):
    """A diffusion prior with the spectral Gaussian denoiser as its skip connection; the small
    priors that ship are of this class.

    `channels`, `blocks`, `patch`, `attention` and `fine` shape the network (deft.networks.unet);
    `gains` is the number of noise levels, evenly spaced in log-SNR, at which k_t is kept (0: k_t =
    1). `precision`, "fp32" or "bf16", is what the network computes in; the Wiener filter and the
    weights stay in single precision.
    """

    gain: Tensor | None
    precision: str = "fp32"

    def __init__(
        self,
        event_shape: Sequence[int],
        schedule: Schedule,
        *,
        channels: Sequence[int] = (64, 128, 128),
        blocks: int = 2,
        patch: int = 2,
        attention: Sequence[bool] = (False, False, True),
        basis: str = "cosines",
        fine: int = 0,
        gains: int = 0,
        value_range: tuple[float, float] | None = (-1.0, 1.0),
        name: str = "unet",
    ) -> None:
        super().__init__()
        if len(event_shape) not in (2, 3):
            raise InvalidInput(
                "event_shape",
                given=list(event_shape),
                expected="(channels, length) or (channels, height, width)",
            )
        event_shape = [
            checks.whole("event_shape", n, most=1 << 24, meaning="the sizes of one signal")
            for n in event_shape
        ]
        gains = checks.whole(
            "gains",
            gains,
            least=0,
            most=100_000,
            meaning="noise levels at which k_t is kept, 0 for none",
        )
        if gains == 1:
            raise InvalidInput(
                "gains",
                given=gains,
                expected="0, or two levels or more, between which k_t is linear",
            )
        if value_range is not None:
            value_range = checks.finite_range("value_range", value_range, "the values of signals")
        self.event_shape, self.schedule, self.value_range = (
            tuple(event_shape),
            schedule,
            value_range,
        )
        self._name = name
        self.config = {
            "event_shape": list(event_shape),
            "channels": list(channels),
            "blocks": blocks,
            "patch": patch,
            "attention": list(attention),
            "basis": basis,
            **({"fine": fine} if fine else {}),
            **({"gains": gains} if gains else {}),
            "value_range": None if value_range is None else list(value_range),
        }
        self.gaussian = SpectralGaussian(event_shape, basis)
        self.network = UNet(
            2 * event_shape[0],
            event_shape[0],
            channels=channels,
            blocks=blocks,
            patch=patch,
            attention=attention,
            axes=len(event_shape) - 1,
            fine=fine,
        )
        self.register_buffer("gain", torch.ones(gains) if gains else None)

    @property
    def name(self) -> str:
        return self._name

    @property
    def scale(self) -> float:  # type: ignore[override]
        """The standard deviation of x_0 over all entries, about the mean image."""
        return float(self.gaussian.variance.mean().sqrt())

    def denoise(self, x_t: Signal, t: Times) -> Signal:
        wiener, worth = self._wiener(x_t, t)
        return wiener + worth * self.correction(x_t, wiener, t)

    def denoise_keeping(
        self, x_t: Signal, t: Times, outer: int, kept: Tensor | None
    ) -> tuple[Signal, Tensor]:
        """`denoise`, and the deep features of the network; with `kept`, those of another step, its
        `outer` outermost levels alone are evaluated (deft.priors.reused).
        """
        wiener, worth = self._wiener(x_t, t)
        inputs, numbers = self._inputs(x_t, wiener, t)
        with self._lowered(x_t):
            correction, deep = self.network.keeping(inputs, numbers, outer, kept)
        return wiener + worth * correction.to(x_t), deep

    def _wiener(self, x_t: Signal, t: Times) -> tuple[Signal, Tensor]:
        """W_t(x_t), and c_t k_t."""
        alpha_t, sigma_t = self.levels(x_t, t)
        worth = self.gaussian.remainder(alpha_t, sigma_t)
        if self.gain is not None:
            worth = worth * expand(self._gain_at(t), x_t)
        return self.gaussian.denoise(x_t, alpha_t, sigma_t), worth

    def _gain_at(self, t: Times) -> Tensor:
        """k_t, linear between its levels."""
        assert self.gain is not None
        low, high = self.schedule.log_snr_range
        place = ((self.schedule.log_snr(t) - low) / (high - low)).clamp(0, 1).to(self.gain) * (
            len(self.gain) - 1
        )
        left = place.floor().long().clamp(max=len(self.gain) - 2)
        return torch.lerp(self.gain[left], self.gain[left + 1], place - left)

    @torch.no_grad()
    def fit_gain(self, images: Tensor, seed: int = 0) -> None:
        """k_t by least squares, from images in the prior's range that it was trained on: <F,
        target> / <F, F> at each level, cut to [0, 1].

        Raises `InvalidInput` for a prior without gains.
        """
        if self.gain is None:
            raise InvalidInput(
                "this prior keeps no gains; make it with gains=25, say, to fit them."
            )
        for level, log_snr in enumerate(
            torch.linspace(*self.schedule.log_snr_range, len(self.gain)).tolist()
        ):
            t = self.schedule.time(torch.tensor([log_snr]))
            along = of = 0.0
            for start in range(0, len(images), 64):
                x_0 = images[start : start + 64]
                alpha_t, sigma_t = self.levels(x_0, t)
                x_t = alpha_t * x_0 + sigma_t * Noise(
                    [mix(seed, i) for i in range(start, start + len(x_0))], x_0.device
                ).normal(level, x_0.shape[1:]).to(x_0)
                wiener = self.gaussian.denoise(x_t, alpha_t, sigma_t)
                estimate = self.correction(x_t, wiener, t)
                along += float(
                    (estimate * (x_0 - wiener) / self.gaussian.remainder(alpha_t, sigma_t)).sum()
                )
                of += float(estimate.square().sum())
            self.gain[level] = min(max(along / of, 0.0), 1.0) if of else 1.0

    def correction(self, x_t: Signal, wiener: Signal, t: Times) -> Signal:
        """F: what the network adds to the Wiener filter, in units of the filter's own error."""
        inputs, numbers = self._inputs(x_t, wiener, t)
        with self._lowered(x_t):
            return self.network(inputs, numbers).to(x_t.dtype)

    def _inputs(self, x_t: Signal, wiener: Signal, t: Times) -> tuple[Tensor, Tensor]:
        """What the network reads, in the precision of its weights where that is half."""
        alpha_t, sigma_t = self.levels(x_t, t)
        scale = self.gaussian.variance.mean().sqrt()
        c_in = (alpha_t**2 * scale**2 + sigma_t**2).sqrt()
        numbers = self.schedule.log_snr(t).to(x_t.dtype).reshape(-1, 1).expand(len(x_t), 1)
        inputs = torch.cat(
            [(x_t - alpha_t * self.gaussian.mean) / c_in, (wiener - self.gaussian.mean) / scale],
            dim=1,
        )
        own = self.network_dtype
        half = own in (torch.float16, torch.bfloat16) and x_t.dtype not in (own, torch.float64)
        return (inputs.to(own), numbers.to(own)) if half else (inputs, numbers)

    def _lowered(self, x_t: Signal) -> AbstractContextManager[object]:
        """bf16 arithmetic, where `precision` says so and the weights are not half already."""
        half = self.network_dtype in (torch.float16, torch.bfloat16)
        if self.precision != "bf16" or half:
            return nullcontext()
        return torch.autocast(x_t.device.type, torch.bfloat16)
