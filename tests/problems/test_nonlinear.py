import math

import pytest
import torch

from deft.noise import Noise
from deft.problems import (
    JPEG,
    HighDynamicRange,
    MotionKernels,
    NonlinearBlur,
    PhaseRetrieval,
    PoissonPhaseRetrieval,
    from_card,
)
from tests.contracts.problem import ProblemContract
from tests.refusal import refused


class TestHighDynamicRange(ProblemContract):
    def make(self):
        return HighDynamicRange(3.0, (0.0, 1.0), sigma_y=0.05)


class TestJPEG(ProblemContract):
    event_shapes = ((1, 8, 8), (3, 12, 20))

    def make(self):
        return JPEG(30, "4:2:2", (-1.0, 1.0), sigma_y=0.05)


class TestNonlinearBlur(ProblemContract):
    event_shapes = ((1, 8, 8), (3, 12, 20))
    tolerance = 1e-3  # conjugate gradients

    def make(self):
        return NonlinearBlur(MotionKernels(5), exposure=1.5, sigma_y=0.05)


class TestPhaseRetrieval(ProblemContract):
    event_shapes = ((1, 8, 8), (3, 6, 10))

    def make(self):
        return PhaseRetrieval(0.1, iterations=10, restarts=2)

    def test_the_noise_is_relative(self):
        x_0 = torch.tensor([0.2, 1.0]).reshape(2, 1, 1, 1) * torch.rand(2, 1, 16, 16)
        clean = PhaseRetrieval(0.0, (0.0, 1.0)).draw(x_0, Noise([0, 1]))
        noisy = PhaseRetrieval(0.1, (0.0, 1.0)).draw(x_0, Noise([0, 1]))
        assert clean.sigma_y.tolist() == [0.0, 0.0]
        self.close(noisy.sigma_y, 0.1 * clean.y.square().mean((1, 2, 3)).sqrt())
        assert noisy.sigma_y.max() < PhaseRetrieval(0.1).sigma_y[1]
        ranged = PhaseRetrieval((0.01, 0.2), (0.0, 1.0))
        share = ranged.draw(x_0, Noise([0, 1])).sigma_y / clean.y.square().mean((1, 2, 3)).sqrt()
        assert 0.01 < share.min() < share.max() < 0.2
        assert from_card(ranged.card()).card() == ranged.card()
        error = refused(lambda: PhaseRetrieval(-0.1), -0.1, "a finite number >= 0")
        assert error.what == "relative_noise"


class TestPoissonPhaseRetrieval(ProblemContract):
    event_shapes = ((1, 8, 8), (3, 6, 10))

    def make(self):
        return PoissonPhaseRetrieval((500.0, 2000.0), iterations=10, restarts=2)

    def test_counts_have_the_law_that_they_should(self):
        x_0 = torch.rand(200, 1, 2, 2)[:1].repeat(200, 1, 1, 1)
        observation = PoissonPhaseRetrieval(400.0, (0.0, 1.0)).draw(x_0, Noise(range(200)))
        counts, rate = 400 * observation.y**2, 400 * observation.operator(x_0[:1]) ** 2
        torch.testing.assert_close(counts, counts.round(), atol=1e-2, rtol=0)
        assert ((counts.mean(0) - rate[0]).abs() < 5 * (rate[0] / 200).sqrt() + 0.05).all()
        assert observation.sigma_y.tolist() == pytest.approx([0.025] * 200)

    def test_errors(self):
        for photons in (0.0, (20.0, 10.0), math.inf, -1.0):
            refused(
                lambda photons=photons: PoissonPhaseRetrieval(photons),
                photons,
                "how many photons a white pixel contributes",
            )
