"""PiGDM whose r_t has a floor: log N(y; A x_0_hat, max(r_t, floor)^2 A A^T + sigma_y^2 I), for
estimates that are surer than they should be.
"""

import deft
from deft.htransforms.applies import linear_gaussian
from deft.types import inner


class FlooredPiGDM(deft.Potential):
    """Exact for a white Gaussian prior where the floor is 0."""

    def __init__(self, scale: float = 1.0, floor: float = 0.0) -> None:
        super().__init__()
        self.scale, self.floor, self.config = scale, floor, {"scale": scale, "floor": floor}

    def check(self, prior, observation):
        linear_gaussian(observation, self, prior)

    def log_h(self, denoised, observation):
        operator, residual = observation.operator, observation.residual(denoised.x_0_hat)
        r_2 = denoised.spread(self.scale).flatten().clamp(min=self.floor) ** 2
        return -0.5 * inner(
            residual, operator.solve(residual, r_2, observation.sigma_y.to(residual) ** 2)
        )
