"""A prior of protein backbones that starts from the Gaussian chain.

    x_0_hat = W y_t + C^{1/2} F(W y_t, log-SNR_t),    y_t = x_t / alpha_t,  s_t = sigma_t / alpha_t

    W = S (S + s_t^2 I)^{-1},    C = s_t^2 S (S + s_t^2 I)^{-1}

S is the covariance of a native chain of this length (deft.priors.chain_spectrum), W y_t the
posterior mean of a Gaussian with it and C its posterior covariance: the preconditioning of Karras
et al. 2022 (arXiv:2206.00364, eq. 7) with matrices along the chain in place of its numbers, as in
deft.priors.unet. F is an equivariant network (deft.networks.equivariant), whose target has unit
variance in every mode and at every noise level if chains are Gaussian, and which is zero before it
is trained. Both W and C^{1/2} act along the chain only, so that

    x_0_hat(R x_t) = R x_0_hat(x_t)    for every rotation R

and not for mirrors. S has no constant mode: all is about the mean of the residues.
"""

from __future__ import annotations

from dataclasses import astuple
from typing import final

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from deft import checks
from deft.networks.equivariant import EquivariantBody
from deft.priors.backbone import BackbonePrior
from deft.priors.chain_modes import padded_modes
from deft.priors.chain_spectrum import ChainSpectrum
from deft.schedules import Schedule
from deft.types import Signal, Times


@final
class EquivariantBackbone(BackbonePrior):
    """A backbone prior for chains of `min_length` to `max_length` residues, equivariant to
    rotations; the backbone prior that ships is of this class.

    `spectrum` says S, that of natives by default; it is kept with the weights. `width`, `blocks`,
    `heads`, `pair` and `window` size the network (deft.networks.equivariant).
    """

    spectrum: Tensor
    centred = True
    precision: str = "fp32"

    def __init__(
        self,
        max_length: int,
        schedule: Schedule,
        *,
        min_length: int = 3,
        spectrum: ChainSpectrum | None = None,
        width: int = 96,
        blocks: int = 4,
        heads: int = 6,
        pair: int = 32,
        window: int = 8,
        name: str = "equivariant-backbone",
    ) -> None:
        self.min_length = checks.whole("min_length", min_length, 3, 1 << 14)
        super().__init__(max_length)
        self.schedule, self._name = schedule, name
        sizes = {
            "width": width,
            "blocks": blocks,
            "heads": heads,
            "pair": pair,
            "window": window,
        }
        self.config = {"max_length": self.max_length, "min_length": self.min_length, **sizes}
        self.register_buffer("spectrum", torch.tensor(astuple(spectrum or ChainSpectrum())))
        self.network = EquivariantBody(1, **sizes)

    @property
    def name(self) -> str:
        return self._name

    @property
    def scale(self) -> float:  # type: ignore[override]
        """The standard deviation of a coordinate, of chains of half the residues between the least
        and the largest number.
        """
        middle = (self.min_length + self.max_length) // 2
        return float((ChainSpectrum(*self._numbers).variances(middle).sum() / middle).sqrt())

    def estimate(self, x_t: Signal, t: Times, mask: Bool[Tensor, "batch places"]) -> Signal:
        with torch.autocast(x_t.device.type, enabled=False):  # positions are no numbers of bf16
            wiener, colour, noise = self.filtered(x_t, t, mask)
            return wiener + colour @ self.correction(wiener, colour, noise, mask)

    def filtered(
        self, x_t: Signal, t: Times, mask: Bool[Tensor, "batch places"]
    ) -> tuple[Signal, Float[Tensor, "batch places places"], Float[Tensor, " batch"]]:
        """W y_t, C^{1/2} and s_t."""
        alpha_t, _ = self.levels(x_t, t)
        U, gain, noise = self._gains(x_t, t, mask)
        wiener = U @ (gain[..., None] * (U.mT @ (x_t / alpha_t)))
        return wiener, (U * (gain.sqrt() * noise[:, None])[:, None]) @ U.mT, noise

    def whitened(self, error: Signal, t: Times, mask: Bool[Tensor, "batch places"]) -> Signal:
        """C^{-1/2} (x_0 - W y_t) of such an error: what F is to be."""
        U, gain, noise = self._gains(error, t, mask)
        spread = gain.sqrt() * noise[:, None]
        inverse = torch.where(spread > 0, 1 / spread.clamp(min=1e-12), 0.0)
        return U @ (inverse[..., None] * (U.mT @ error))

    def _gains(
        self, x: Signal, t: Times, mask: Bool[Tensor, "batch places"]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """U, the gains of the filter in each mode, and s_t."""
        alpha_t, sigma_t = self.levels(x, t)
        noise = (sigma_t / alpha_t).flatten().expand(len(x))
        v, U = padded_modes(self._numbers, mask.sum(1).tolist(), x)
        return U, v / (v + noise[:, None] ** 2), noise

    @property
    def _numbers(self) -> tuple[float, ...]:
        return tuple(self.spectrum.double().tolist())

    def correction(
        self,
        wiener: Signal,
        colour: Float[Tensor, "batch places places"],
        noise: Float[Tensor, " batch"],
        mask: Bool[Tensor, "batch places"],
    ) -> Signal:
        """F: what the network adds, in units of C^{1/2}."""
        numbers = -2 * noise.log()[:, None]
        with torch.autocast(wiener.device.type, torch.bfloat16, self.precision == "bf16"):
            found: Signal = self.network(wiener, mask, numbers, colour)
        return found.to(wiener)
