"""The log-variance loss of paths, which needs no data: Var[log w] over paths that h itself drew,
zero for the exact h (Richter & Berner 2024, arXiv:2307.01198).
"""

import deft
from deft.paths import path_log_weight, simulate


class LogVariance(deft.Objective):
    """Paths of one observation, `steps` long; log w with the graph of h, at paths without it."""

    def __init__(self, observation: deft.Observation, steps: int = 8) -> None:
        super().__init__()
        self.observation, self.steps = observation, steps

    def batches(self, source):
        return deft.Draws()

    def loss(self, h_transform, prior, batch):
        posterior = deft.Posterior(prior, h_transform, self.observation)
        path = simulate(
            posterior, deft.DDIM(self.steps, eta=1.0), len(batch), seed=batch.noise.seeds[:1]
        )
        log_w = path_log_weight(path, posterior)[0]
        return deft.Loss((log_w - log_w.mean()).square(), {"log_weight": log_w.detach()})


class OfOneImage(LogVariance):
    """The same, of what a problem measures of the first image that there is."""

    def __init__(self, problem: deft.Problem, steps: int = 3) -> None:
        deft.Objective.__init__(self)
        self.problem, self.steps = problem, steps

    def batches(self, source):
        x_0 = source.batch([0], deft.Noise([0])).x_0
        self.observation = self.problem.draw(x_0, deft.Noise([1]))
        return deft.Draws()
