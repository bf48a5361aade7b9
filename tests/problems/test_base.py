import math

import torch

from deft.noise import Noise
from deft.operators import Identity
from deft.problems import Denoising, Problem
from tests.contracts.problem import ProblemContract
from tests.refusal import refused


class OwnProblem(Problem):
    """A user's own problem."""

    def operator(self, x_0, noise):
        return Identity()

    def card(self):
        return {
            "class_path": "tests.problems.test_base.OwnProblem",
            "init_args": {"sigma_y": self.sigma_y},
        }


class TestOwnProblem(ProblemContract):
    allow = ("tests",)

    def make(self):
        return OwnProblem(sigma_y=0.05)


class TestNoiseLevels:
    def test_the_range_is_filled_log_uniformly(self):
        sigma_y = (
            Denoising(sigma_y=(0.01, 1.0))
            .draw(torch.zeros(400, 1, 1, 1), Noise(range(400)))
            .sigma_y
        )
        assert 0.01 <= sigma_y.min() < 0.012
        assert 0.85 < sigma_y.max() <= 1.0
        assert abs((sigma_y < 0.1).float().mean() - 0.5) < 0.08  # three standard errors

    def test_none_is_exact(self):
        x_0 = torch.randn(2, 1, 4, 4)
        assert torch.equal(Denoising().draw(x_0, Noise([0, 1])).y, x_0)

    def test_errors(self):
        for sigma_y in (-0.1, math.inf, -math.inf):
            refused(
                lambda sigma_y=sigma_y: Denoising(sigma_y=sigma_y),
                sigma_y,
                "a finite number >= 0, the standard deviation",
                "use 0",
            )
        for sigma_y in ((0.2, 0.1), (0.0, 0.1)):
            refused(
                lambda sigma_y=sigma_y: Denoising(sigma_y=sigma_y),
                sigma_y,
                "(low, high), finite, with 0 < low <= high",
            )
        refused(lambda: Denoising(sigma_y=(0.1, math.inf)), (0.1, math.inf), "0 < low <= high")
