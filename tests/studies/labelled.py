"""A prior that draws around the level of each signal's label."""

from deft.priors.base import Prior
from deft.schedules import VPLinear


class Labelled(Prior):
    """Draws around the level of each signal's label."""

    schedule, event_shape, value_range, scale = VPLinear(), (1, 16, 16), (-1.0, 1.0), 0.5
    takes = ("labels",)

    def denoise(self, x_t, t):
        return self.told(x_t)["labels"][:, None, None, None].expand_as(x_t) + 0 * x_t
