"""A control objective trains through `train` as it is: no images, its own loss, a minimiser that
is known.
"""

import pytest
import torch
from torch import nn

import deft
from deft.errors import InvalidInput
from deft.htransforms.base import HTransform
from deft.operators import Identity
from deft.training.state import StateFile
from tests.extending.log_variance import LogVariance

DOUBLE = torch.float64


class Weighted(HTransform):
    """weight times the exact shift: the loss is least at weight 1."""

    def __init__(self, exact: HTransform) -> None:
        super().__init__()
        self.exact, self.weight = exact, nn.Parameter(torch.tensor(0.3, dtype=DOUBLE))
        self.config = {}

    def shift(self, denoised, observation):
        return self.weight * self.exact.shift(denoised, observation)


def setting():
    prior = deft.GaussianMixture(
        torch.zeros(1, 3, dtype=DOUBLE), torch.tensor([0.5], dtype=DOUBLE), None, deft.VPCosine()
    )
    observation = deft.Observation(
        torch.tensor([[0.7, -0.2, 0.4]], dtype=DOUBLE),
        deft.GaussianLikelihood(Identity(), 0.5).double(),
    )
    return prior, observation


def test_it_finds_the_exact_h_without_data(tmp_path):
    prior, observation = setting()
    h = Weighted(deft.Exact(prior))
    usual = {
        "batch_size": 32,
        "learning_rate": 0.05,
        "ema": 0.0,
        "out": tmp_path,
        "progress": False,
        "log_every": 10,
    }
    result = deft.train(h, prior, LogVariance(observation, 48), steps=100, **usual)
    assert h.weight.item() == pytest.approx(1.0, abs=0.15)  # 1 as the steps of a path grow
    assert result.history[-1]["loss"] < 0.2 * result.history[0]["loss"]
    assert {"loss", "log_weight", "grad_norm"} <= set(result.history[-1])
    again = deft.train(h, prior, LogVariance(observation, 48), steps=100, **usual)
    assert again.steps == 100
    assert StateFile(tmp_path).read()[1]["progress"]["step"] == 100


def test_an_objective_that_needs_images_says_so():
    prior, _ = setting()
    problem = deft.problems.Denoising(0.5)
    with pytest.raises(InvalidInput) as raised:
        deft.train(
            Weighted(deft.Exact(prior)), prior, deft.DenoisingScoreMatching(problem), steps=2
        )
    assert raised.value.given == "no images"
