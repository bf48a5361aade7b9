"""What every problem keeps: observations that depend on each signal's seed alone, and a card
that rebuilds it.
"""

import json
import math
from abc import ABC, abstractmethod

import pytest
import torch

from deft.noise import Noise
from deft.problems import Problem, from_card


class ProblemContract(ABC):
    """A test class inherits this and says how to make the problem, with a noise level above
    zero.
    """

    event_shapes: tuple[tuple[int, ...], ...] = ((1, 8, 8), (3, 12, 20), (2, 16))
    tolerance = 1e-5  # single precision; operators that iterate need more
    allow: tuple[str, ...] = ()  # modules of a user's own on its card

    @abstractmethod
    def make(self) -> Problem: ...

    def close(self, a, b):
        torch.testing.assert_close(a, b, atol=self.tolerance, rtol=self.tolerance)

    def test_any_batch_of_any_shape(self):
        for event_shape in self.event_shapes:
            for batch in (0, 1, 3):
                x_0 = torch.randn(batch, *event_shape)
                observation = self.make().draw(x_0, Noise(range(batch)))
                assert len(observation) == batch
                assert observation.operator.lift(observation.y).shape == x_0.shape
                assert observation.residual(x_0).shape == observation.y.shape
                assert observation.sigma_y.shape == (batch,)
                guidance = observation.likelihood.guidance(
                    x_0, torch.full((1,), 0.3), observation.y
                )
                assert guidance.shape == x_0.shape
                assert guidance.isfinite().all()

    def test_an_observation_depends_on_its_seed_alone(self):
        problem = self.make()
        for event_shape in self.event_shapes:
            x_0, noise = torch.randn(4, *event_shape), Noise([5, 6, 7, 8])
            together = problem.draw(x_0, noise)
            for index in ([2], [3, 0]):
                alone, taken = problem.draw(x_0[index], noise.take(index)), together.take(index)
                self.close(alone.y, taken.y)
                self.close(alone.sigma_y, taken.sigma_y)
                self.close(alone.residual(x_0[index]), taken.residual(x_0[index]))

    def test_seeds_differ(self):
        x_0 = torch.randn(1, *self.event_shapes[0]).repeat(
            2, 1, *(1 for _ in self.event_shapes[0][1:])
        )
        y = self.make().draw(x_0, Noise([0, 1])).y
        assert not torch.equal(y[0], y[1])

    def test_the_card_rebuilds_it(self):
        problem = self.make()
        card = problem.card()
        again = from_card(json.loads(json.dumps(card)), allow=self.allow)
        assert again.card() == card
        x_0, noise = torch.randn(2, *self.event_shapes[0]), Noise([3, 4])
        assert torch.equal(again.draw(x_0, noise).y, problem.draw(x_0, noise).y)

    def test_the_truth_fits(self):
        """The misfit of the truth is a chi variable over sqrt(m): 1, with a standard deviation
        of about 1 / sqrt(2 m).
        """
        x_0 = torch.randn(8, *self.event_shapes[0])
        observation = self.make().draw(x_0, Noise(range(8)))
        misfit = observation.likelihood.misfit(x_0, observation.y)
        m = observation.operator.count(observation.y)
        assert ((misfit - 1).abs() < 5 / (2 * m).sqrt() + 0.3 / m).all()
        assert abs(misfit.mean() - 1) < 5 / math.sqrt(2 * m.sum()) + 0.05

    def test_moving_an_observation_leaves_the_problem(self):
        """An observation in other units of memory does not drag along what the problem keeps."""
        problem = self.make()
        x_0, noise = torch.randn(2, *self.event_shapes[0]), Noise([0, 1])
        y = problem.draw(x_0, noise).y
        problem.draw(x_0, noise).to("meta")
        assert torch.equal(problem.draw(x_0, noise).y, y)

    @pytest.mark.parametrize("precision", [torch.float32, torch.float64])
    def test_precision(self, precision):
        y = (
            self.make()
            .draw(torch.randn(2, *self.event_shapes[0], dtype=precision), Noise([0, 1]))
            .y
        )
        assert y.dtype == precision
