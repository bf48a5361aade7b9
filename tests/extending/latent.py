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
