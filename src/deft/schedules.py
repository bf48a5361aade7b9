"""Noise schedules.

    x_t = alpha_t x_0 + sigma_t eps,    t in [0, 1],  0 = clean end, 1 = noise end
    log-SNR_t = 2 log(alpha_t / sigma_t),    strictly decreasing and finite at both ends

Two schedules are the same process up to a change of scale and of time: x_t / alpha_t depends on the
log-SNR alone, by which `Rescheduled` runs a network under a schedule that it was not trained with.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from deft import checks
from deft.errors import InvalidInput
from deft.types import Times

_T_MIN = 1e-3
_LOG_SNR_MIN = -16.0
_LARGEST_LOG_SNR = 100.0  # beyond it exp(log_snr / 2) means nothing in double precision
_MOST_ENTRIES = 1_000_000


class Schedule(ABC):
    """x_t = alpha_t x_0 + sigma_t eps with t in [0, 1]; log-SNR strictly decreasing and finite."""

    @abstractmethod
    def alpha(self, t: Times) -> Times:
        """The factor of the signal, > 0."""

    @abstractmethod
    def sigma(self, t: Times) -> Times:
        """The standard deviation of the noise, > 0."""

    @abstractmethod
    def time(self, log_snr: Times) -> Times:
        """The inverse of `log_snr`; values beyond the ends are clamped to them."""

    def log_snr(self, t: Times) -> Times:
        """log(alpha_t^2 / sigma_t^2)."""
        return 2 * (self.alpha(t).log() - self.sigma(t).log())

    def snap(self, t: Times) -> Times:
        """The nearest time at which the network was trained; the identity if it takes real
        times.
        """
        return t

    def told(self, t: Times) -> Tensor:
        """What a network is told of the time: t itself, unless an entry or a level is usual."""
        return t

    @property
    def log_snr_range(self) -> tuple[float, float]:
        """The log-SNR at the noise end and at the clean end."""
        ends = self.log_snr(torch.tensor([1.0, 0.0], dtype=torch.float64))
        return float(ends[0]), float(ends[1])


class _VariancePreserving(Schedule):
    """alpha_t^2 + sigma_t^2 = 1; a subclass says log-SNR_t and its inverse."""

    def alpha(self, t: Times) -> Times:
        return torch.sigmoid(self.log_snr(t)).sqrt()

    def sigma(self, t: Times) -> Times:
        return torch.sigmoid(-self.log_snr(t)).sqrt()

    @abstractmethod
    def log_snr(self, t: Times) -> Times: ...


@final
class VPLinear(_VariancePreserving):
    """Variance preserving, with beta linear in time.

        alpha_u^2 = exp(-beta_min u - (beta_max - beta_min) u^2 / 2),    u = t_min + (1 - t_min) t

    Song et al. 2021, arXiv:2011.13456, eq. 32-33; the defaults are those of DDPM's table in
    continuous time.
    """

    def __init__(
        self, beta_min: float = 0.1, beta_max: float = 20.0, t_min: float = _T_MIN
    ) -> None:
        self.beta_min, self.beta_max = checks.positive_range(
            "beta_min, beta_max", (beta_min, beta_max)
        )
        self.t_min = checks.share("t_min", t_min, "the least time", zero=False, one=False)

    def log_snr(self, t: Times) -> Times:
        u = self.t_min + (1 - self.t_min) * t
        b = self.beta_min * u + 0.5 * (self.beta_max - self.beta_min) * u**2
        return -b - torch.log(-torch.expm1(-b))

    def time(self, log_snr: Times) -> Times:
        b = torch.nn.functional.softplus(-log_snr)  # alpha^2 = sigmoid(log_snr) = exp(-b)
        slope = self.beta_max - self.beta_min
        u = 2 * b / (self.beta_min + (self.beta_min**2 + 2 * slope * b).sqrt())
        return ((u - self.t_min) / (1 - self.t_min)).clamp(0, 1)


@final
class VPCosine(_VariancePreserving):
    """Variance preserving, alpha_u = cos(pi u / 2), with u running between the times of two
    log-SNRs.

    Nichol & Dhariwal 2021, arXiv:2102.09672, eq. 17, in continuous time without the offset; the
    ends are cut at finite log-SNRs.
    """

    def __init__(self, log_snr_min: float = -15.0, log_snr_max: float = 15.0) -> None:
        self.log_snr_min, self.log_snr_max = checks.finite_range(
            "log_snr_min, log_snr_max", (log_snr_min, log_snr_max)
        )
        if max(-self.log_snr_min, self.log_snr_max) > _LARGEST_LOG_SNR:
            expected = f"log-SNRs between -{_LARGEST_LOG_SNR:g} and {_LARGEST_LOG_SNR:g}"
            given = (log_snr_min, log_snr_max)
            raise InvalidInput("log_snr_min, log_snr_max", given=given, expected=expected)
        self._start = 2 / math.pi * math.atan(math.exp(-0.5 * log_snr_max))
        self._end = 2 / math.pi * math.atan(math.exp(-0.5 * log_snr_min))

    def log_snr(self, t: Times) -> Times:
        u = self._start + (self._end - self._start) * t
        return -2 * torch.log(torch.tan(0.5 * math.pi * u))

    def time(self, log_snr: Times) -> Times:
        u = 2 / math.pi * torch.atan(torch.exp(-0.5 * log_snr))
        return ((u - self._start) / (self._end - self._start)).clamp(0, 1)


@final
class VPTabulated(_VariancePreserving):
    """Variance preserving, from a table of betas; the network knows the N times k / (N - 1) only.

        alpha_k^2 = prod_{j <= k} (1 - beta_j)

    Ho et al. 2020, arXiv:2006.11239. Between the entries the log-SNR is linear in t; `snap` goes to
    the nearest entry. Entries with a log-SNR below -16 (tables of zero terminal SNR) are left out
    of the range of t, not out of the count `num_steps`. The network is told k `time_scale`.
    """

    def __init__(self, betas: Sequence[float], time_scale: float = 1.0) -> None:
        self.time_scale = checks.positive("time_scale", time_scale, "what entry 1 is told as")
        expected = "a table of at least two numbers in (0, 1]"
        try:
            table = torch.as_tensor(betas, dtype=torch.float64)
        except (TypeError, ValueError, RuntimeError) as error:
            raise InvalidInput("betas", given=betas, expected=expected) from error
        if table.ndim != 1 or len(table) < 2:
            raise InvalidInput(
                "betas", given=f"numbers of shape {tuple(table.shape)}", expected=expected
            )
        if not bool(((table > 0) & (table <= 1)).all()):
            raise InvalidInput(
                "betas",
                given=f"{len(table)} numbers between {table.min():g} and {table.max():g}",
                expected=expected,
            )
        log_alpha_2 = torch.log1p(-table.clamp(max=1 - 1e-12)).cumsum(0)
        log_snr = log_alpha_2 - torch.log(-torch.expm1(log_alpha_2))
        self.num_steps = len(table)
        self.betas = table
        self._log_snr = log_snr[log_snr >= _LOG_SNR_MIN]

    @classmethod
    def linear(
        cls, num_steps: int = 1000, beta_start: float = 1e-4, beta_end: float = 2e-2
    ) -> VPTabulated:
        """DDPM's table: `num_steps` betas between `beta_start` and `beta_end`."""
        num_steps = checks.whole(
            "num_steps", num_steps, least=2, most=_MOST_ENTRIES, meaning="the entries of the table"
        )
        beta_start, beta_end = (
            checks.share(name, beta, zero=False)
            for name, beta in (("beta_start", beta_start), ("beta_end", beta_end))
        )
        return cls(torch.linspace(beta_start, beta_end, num_steps, dtype=torch.float64).tolist())

    def index(self, t: Times) -> Tensor:
        """The entry of the table nearest to t."""
        return (t * (len(self._log_snr) - 1)).round().long()

    def told(self, t: Times) -> Tensor:
        k = self.index(t)
        return k if self.time_scale == 1 else k.double() * self.time_scale

    def snap(self, t: Times) -> Times:
        return self.index(t).to(t.dtype) / (len(self._log_snr) - 1)

    def log_snr(self, t: Times) -> Times:
        table = self._log_snr.to(t.device)
        place = (t.double() * (len(table) - 1)).clamp(0, len(table) - 1)
        low = place.floor().long().clamp(max=len(table) - 2)
        return torch.lerp(table[low], table[low + 1], place - low).to(t.dtype)

    def time(self, log_snr: Times) -> Times:
        falling = -self._log_snr.to(log_snr.device)
        value = (-log_snr.double()).clamp(falling[0], falling[-1])
        high = torch.searchsorted(falling, value.contiguous()).clamp(1, len(falling) - 1)
        fraction = (value - falling[high - 1]) / (falling[high] - falling[high - 1])
        return ((high - 1 + fraction) / (len(falling) - 1)).to(log_snr.dtype)


class _VarianceExploding(Schedule):
    """alpha_t = 1; a subclass says sigma_t and its inverse."""

    def alpha(self, t: Times) -> Times:
        return torch.ones_like(t)

    @abstractmethod
    def time_of_sigma(self, sigma: Tensor) -> Tensor: ...

    def time(self, log_snr: Times) -> Times:
        return self.time_of_sigma(torch.exp(-0.5 * log_snr)).clamp(0, 1)


@final
class VE(_VarianceExploding):
    """Variance exploding: alpha_t = 1, sigma_t = sigma_min (sigma_max / sigma_min)^t.

    Song et al. 2021, arXiv:2011.13456, eq. 30.
    """

    def __init__(self, sigma_min: float = 0.01, sigma_max: float = 100.0) -> None:
        self.sigma_min, self.sigma_max = _sigmas(sigma_min, sigma_max)

    def told(self, t: Times) -> Tensor:
        return self.sigma(t)

    def sigma(self, t: Times) -> Times:
        return self.sigma_min * torch.exp(t * math.log(self.sigma_max / self.sigma_min))

    def time_of_sigma(self, sigma: Tensor) -> Tensor:
        return torch.log(sigma / self.sigma_min) / math.log(self.sigma_max / self.sigma_min)


@final
class EDM(_VarianceExploding):
    """alpha_t = 1, sigma_t = (sigma_min^(1/rho) + t (sigma_max^(1/rho) - sigma_min^(1/rho)))^rho.

    Karras et al. 2022, arXiv:2206.00364, eq. 5, with time reversed.
    """

    def __init__(self, sigma_min: float = 0.002, sigma_max: float = 80.0, rho: float = 7.0) -> None:
        self.sigma_min, self.sigma_max = _sigmas(sigma_min, sigma_max)
        self.rho = checks.positive("rho", rho, "how much denser steps are at low noise")

    def sigma(self, t: Times) -> Times:
        low, high = self.sigma_min ** (1 / self.rho), self.sigma_max ** (1 / self.rho)
        result: Times = (low + t * (high - low)) ** self.rho
        return result

    def time_of_sigma(self, sigma: Tensor) -> Tensor:
        low, high = self.sigma_min ** (1 / self.rho), self.sigma_max ** (1 / self.rho)
        result: Tensor = (sigma ** (1 / self.rho) - low) / (high - low)
        return result


@final
class RectifiedFlow(Schedule):
    """alpha_t = 1 - v, sigma_t = v, v = shift u / (1 + (shift - 1) u), u = t_min + (1 - 2 t_min) t.

    Liu et al. 2023, arXiv:2209.03003; Lipman et al. 2023, arXiv:2210.02747 with time reversed. Both
    ends are cut, so that the log-SNR is finite. A `shift` (arXiv:2403.03206, eq. 23) moves times.
    """

    def __init__(self, t_min: float = _T_MIN, shift: float = 1.0) -> None:
        self.t_min = checks.positive("t_min", t_min, "the least time")
        if self.t_min >= 0.5:
            raise InvalidInput("t_min", given=t_min, expected="a number in (0, 0.5)")
        self.shift = checks.positive("shift", shift, "how much more of t lies at high noise")

    def alpha(self, t: Times) -> Times:
        return 1 - self.sigma(t)

    def sigma(self, t: Times) -> Times:
        u = self.t_min + (1 - 2 * self.t_min) * t
        return self.shift * u / (1 + (self.shift - 1) * u)

    def time(self, log_snr: Times) -> Times:
        v = torch.sigmoid(-0.5 * log_snr)
        u = v / (self.shift - (self.shift - 1) * v)
        return ((u - self.t_min) / (1 - 2 * self.t_min)).clamp(0, 1)


def _sigmas(sigma_min: float, sigma_max: float) -> tuple[float, float]:
    low, high = checks.positive_range("sigma_min, sigma_max", (sigma_min, sigma_max))
    if low == high:
        expected = "(low, high), finite, with 0 < low < high"
        raise InvalidInput("sigma_min, sigma_max", given=(low, high), expected=expected)
    return low, high
