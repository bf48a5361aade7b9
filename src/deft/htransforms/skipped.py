"""An h-transform that is left out where it does nothing.

    shift' = shift   where low <= log-SNR_t < high
             0       elsewhere

On validation images the loss with h is compared with that of the prior alone, by log-SNR
(deft.training.validation); the range is what is left when the outermost levels are cut at which h
takes off less than a share `least` of that loss.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, final

import torch
from torch import Tensor

from deft import checks
from deft.errors import InvalidInput
from deft.htransforms.base import HTransform, stays
from deft.htransforms.composed import Wrapped
from deft.likelihoods import Observation
from deft.priors.denoised import Denoised
from deft.types import Signal, expand


@final
class Skipped(Wrapped):
    """The h-transform at log-SNRs in [low, high), None for an end that is open, and nothing
    elsewhere, where it is not evaluated; of signals at several noise levels all are, where one is
    inside.
    """

    def __init__(
        self, h_transform: HTransform, low: float | None = None, high: float | None = None
    ) -> None:
        super().__init__(h_transform)
        stays(h_transform, "Skipped", "leave it out: an h that asks the prior elsewhere is needed")
        for name, end in (("low", low), ("high", high)):
            if end is not None:
                checks.finite(name, end, "the log-SNR at an end", "None is an open end")
        if low is not None and high is not None:
            checks.finite_range("low, high", (low, high), "the log-SNRs at which h is evaluated")
        self.low, self.high = low, high

    @classmethod
    def by_validation(
        cls, h_transform: HTransform, bins: Sequence[Mapping[str, Any]], least: float
    ) -> Skipped:
        """By the noise levels of a validation (the field `metrics` of a card): h is kept from the
        first to the last of them at which it takes at least the share `least` off the loss.

        Raises `InvalidInput` where there are none, or it would be kept at none.
        """
        checks.share("skip_h", least, "what h must take off the loss to be kept", one=False)
        found = sorted(bins, key=lambda one: float(one["low"]))
        useful = [k for k, one in enumerate(found) if 1 - one["loss"] / one["without"] >= least]
        if not useful:
            raise InvalidInput(
                "skip_h",
                given=least,
                expected="a share that h takes off the loss at some noise level"
                if found
                else "an h-transform that was validated: its card says nothing of noise levels",
                advice="leave it out",
            )
        first, last = useful[0], useful[-1]
        return cls(
            h_transform,
            None if first == 0 else float(found[first]["low"]),
            None if last == len(found) - 1 else float(found[last]["high"]),
        )

    def shift(self, denoised: Denoised, observation: Observation) -> Signal:
        inside = self._inside(denoised)
        if not bool(inside.any()):
            return torch.zeros_like(denoised.x_0_hat)
        shift = self.h_transform.shift(denoised, observation)
        return shift if bool(inside.all()) else shift * expand(inside.to(shift), shift)

    def silent(self, denoised: Denoised, observation: Observation, shift: Signal) -> bool:  # type: ignore[override]
        return bool(self._inside(denoised).any()) and super().silent(denoised, observation, shift)

    def _inside(self, denoised: Denoised) -> Tensor:
        log_snr = denoised.log_snr
        above = (
            torch.ones_like(log_snr, dtype=torch.bool) if self.low is None else log_snr >= self.low
        )
        return above if self.high is None else above & (log_snr < self.high)
