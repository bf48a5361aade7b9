"""A Gaussian prior of protein backbones, for which everything is known: the referee of the protein
methods.

    x_0 ~ N(0, S_n (x) I_3),    S_n = sum over p of v_p(n) c_p c_p^T

c_p are the cosines of a chain of n residues and v_p(n) the variances of natives in them
(deft.priors.chain_spectrum): centred, the same whichever way it is turned, mirror images alike. Its
denoiser is the Wiener filter of each length,

    W_t(x_t) = sum over p of alpha_t v_p / (alpha_t^2 v_p + sigma_t^2) c_p c_p^T x_t
"""

from __future__ import annotations

from typing import final

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from deft.noise import Noise
from deft.priors.backbone import BackbonePrior
from deft.priors.chain_law import ChainLaw
from deft.priors.chain_spectrum import ChainSpectrum, modes
from deft.schedules import Schedule, VPCosine
from deft.types import LogProb, Signal, Times


@final
class GaussianChain(BackbonePrior):
    """Chains of up to `max_length` residues with the covariance of natives: exact denoiser, exact
    marginals, exact draws; `deft.htransforms.ExactChain` is its h-transform for residues in a fixed
    frame.

    `spectrum` is that of natives by default. `scale` is the standard deviation of a coordinate of a
    chain of `max_length` residues.
    """

    numbers: Tensor

    def __init__(
        self,
        max_length: int = 128,
        *,
        spectrum: ChainSpectrum | None = None,
        schedule: Schedule | None = None,
    ) -> None:
        super().__init__(max_length)
        self.spectrum, self.schedule = spectrum or ChainSpectrum(), schedule or VPCosine()
        self.scale = float((self.spectrum.variances(max_length).sum() / max_length).sqrt())
        self.register_buffer("numbers", torch.tensor(list(vars(self.spectrum).values())))
        self._laws: dict[tuple[int, int, torch.dtype, torch.device], ChainLaw] = {}

    def law(self, mask: Bool[Tensor, "n places"] | None = None) -> ChainLaw:
        """The law of x_0 of chains whose residues a mask says, one for all where they are of one
        length; of those that it is told of without a mask.
        """
        mask = self.mask if mask is None else mask
        return self._law(mask, torch.float64)

    def estimate(self, x_t: Signal, t: Times, mask: Bool[Tensor, "batch places"]) -> Signal:
        return self.wiener(x_t, *self.levels(x_t, t), mask)

    def wiener(
        self,
        x_t: Float[Tensor, "batch places 3"],
        alpha_t: Tensor,
        sigma_t: Tensor,
        mask: Bool[Tensor, "batch places"],
    ) -> Float[Tensor, "batch places 3"]:
        """W_t(x_t), for any levels that broadcast against x_t: what a network can start from."""
        return self._law(mask, x_t.dtype).denoise(x_t, alpha_t, sigma_t)

    def log_prob(self, x_t: Signal, t: Times) -> LogProb:
        """log p_t(x_t), a density in the 3 (n - 1) dimensions of centred chains."""
        alpha_t, sigma_t = self.levels(x_t.double(), t.double())
        mask = self.mask_for(x_t)
        return self.law(mask).log_prob(self.projected(x_t, mask), alpha_t, sigma_t)

    def sample(self, noise: Noise) -> Signal:
        """One x_0 for each seed of `noise`."""
        z = self.noise(noise, 1)
        return self._law(self.mask_for(z), z.dtype).sample(z)

    def initial(self, noise: Noise) -> Signal:
        """An exact draw from p_1."""
        one = torch.ones(1, dtype=torch.float64)
        alpha_1, sigma_1 = self.schedule.alpha(one).item(), self.schedule.sigma(one).item()
        return alpha_1 * self.sample(noise.stream(0)) + sigma_1 * self.noise(noise, 0)

    def _law(self, mask: Bool[Tensor, "n places"], dtype: torch.dtype) -> ChainLaw:
        lengths, place = mask.sum(1).unique(return_inverse=True)
        laws = [self._of(int(n), mask.shape[1], dtype, mask.device) for n in lengths]
        if len(laws) == 1:
            return laws[0]
        parts = ("mean", "axes", "variances", "alive")
        mean, axes, variances, alive = (
            torch.cat([getattr(law, part) for law in laws])[place] for part in parts
        )
        return ChainLaw(mean, axes, variances, alive)

    def _of(self, length: int, places: int, dtype: torch.dtype, device: torch.device) -> ChainLaw:
        """The law of chains of one length, kept."""
        key = (length, places, dtype, device)
        if key not in self._laws:
            axes, variances = torch.zeros(places, places), torch.zeros(places)
            axes, variances = axes.double(), variances.double()
            axes[:length, : length - 1] = modes(length).mT
            axes[:length, length - 1] = length**-0.5
            axes[length:, length:].fill_diagonal_(1.0)
            variances[: length - 1] = self.spectrum.variances(length)
            parts = (torch.zeros(1, places, 3), axes[None], variances[None])
            mean, axes, variances = (part.to(device, dtype) for part in parts)
            alive = torch.arange(places, device=device) < length - 1
            self._laws[key] = ChainLaw(mean, axes, variances, alive[None])
        return self._laws[key]
