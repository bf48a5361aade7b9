"""A prior of point clouds of several sizes, centred: N(0, s^2 P), with P the projection on
clouds whose `places` valid points have their centre at 0.
"""

import torch

import deft


class CloudPrior(deft.Prior):
    """x_0_hat = alpha s^2 / (alpha^2 s^2 + sigma^2) P x_t; `given(places=...)` says how many
    points each cloud has, and noise stays where they are.
    """

    takes = ("places",)
    event_axes = "cloud"

    def __init__(self, most: int = 5, scale: float = 0.7) -> None:
        super().__init__()
        self.schedule, self.event_shape, self.scale = deft.VPCosine(), (most, 3), scale

    def projected(self, x):
        """P x, for (batch, ..., points, 3)."""
        most = self.event_shape[0]
        places = self.context.values.get("places", torch.tensor([most]))
        valid = (torch.arange(most) < places[:, None]).to(x)
        valid = valid.reshape(-1, *(1,) * (x.ndim - 3), most, 1)
        return valid * (x - (valid * x).sum(-2, keepdim=True) / valid.sum(-2, keepdim=True))

    @property
    def dimensions(self):
        return 3 * (self.context.values.get("places", torch.tensor([self.event_shape[0]])) - 1)

    def noise(self, noise, step, draws=None):
        return self.projected(super().noise(noise, step, draws))

    def denoise(self, x_t, t):
        alpha_t, sigma_t = self.levels(x_t, t)
        gain = alpha_t * self.scale**2 / (alpha_t**2 * self.scale**2 + sigma_t**2)
        return gain * self.projected(x_t)
