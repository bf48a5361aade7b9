"""A prior of point clouds of several sizes, centred: N(0, s^2 P), with P the projection on
clouds whose `places` valid points have their centre at 0.
"""

import torch

import deft


class CloudPrior(deft.Prior):
    """x_0_hat = alpha s^2 / (alpha^2 s^2 + sigma^2) P x_t; `given(places=...)` says how many
    points each cloud has, and noise stays where they are.
    """

    def __init__(
        self, most: int = 5, scale: float = 0.7, places: torch.Tensor | None = None
    ) -> None:
        super().__init__()
        self.schedule, self.event_shape, self.scale = deft.VPCosine(), (most, 3), scale
        self.places = torch.tensor([most]) if places is None else places

    def given(self, **context):
        if set(context) != {"places"}:
            return super().given(**context)
        return CloudPrior(self.event_shape[0], self.scale, torch.as_tensor(context["places"]))

    @property
    def num_observations(self):
        return len(self.places)

    def take(self, index):
        return (
            self
            if len(self.places) == 1
            else CloudPrior(self.event_shape[0], self.scale, self.places[torch.as_tensor(index)])
        )

    def projected(self, x):
        """P x, for (batch, ..., points, 3)."""
        valid = (
            (torch.arange(self.event_shape[0]) < self.places[:, None])
            .to(x)
            .reshape(-1, *(1,) * (x.ndim - 3), self.event_shape[0], 1)
        )
        return valid * (x - (valid * x).sum(-2, keepdim=True) / valid.sum(-2, keepdim=True))

    def noise(self, noise, step, draws=None):
        return self.projected(super().noise(noise, step, draws))

    def denoise(self, x_t, t):
        alpha_t, sigma_t = self.levels(x_t, t)
        return (
            alpha_t
            * self.scale**2
            / (alpha_t**2 * self.scale**2 + sigma_t**2)
            * self.projected(x_t)
        )
