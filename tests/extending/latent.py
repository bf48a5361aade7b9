"""A latent prior: a prior of codes, and a linear codec that makes signals of them."""

import torch

import deft
from deft.codec import LinearCodec


class LatentPrior(deft.Prior):
    """Any prior of codes z with a codec; what is measured, and what `decode` gives, are signals
    x = W z + b.
    """

    def __init__(self, codes: deft.Prior, codec: LinearCodec) -> None:
        super().__init__()
        self.codes, self.codec = codes, codec
        self.schedule, self.event_shape, self.scale = codes.schedule, codes.event_shape, codes.scale

    @property
    def dtype(self) -> torch.dtype:
        return self.codes.dtype

    def denoise(self, x_t, t):
        return self.codes.denoise(x_t, t)


def grey() -> LatentPrior:
    """Grey images of 16 x 16, each of 8 x 8 codes: every code is a square of four pixels."""
    codes = deft.GaussianMixture(
        torch.zeros(1, 1, 8, 8), torch.tensor([0.1]), None, deft.VPCosine()
    )
    square = torch.kron(torch.eye(8), torch.ones(2, 1))
    prior = LatentPrior(codes, LinearCodec(torch.kron(square, square), (1, 16, 16), (1, 8, 8)))
    prior.value_range = (-1.0, 1.0)
    return prior


READY = grey()
