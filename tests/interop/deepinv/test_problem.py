"""A physics with its noise model, on objects that look like deepinv's; tests/test_deepinv.py has
the real ones.
"""

import pytest
import torch
from torch import nn

from deft.commands import catalogue
from deft.errors import InvalidInput
from deft.interop.deepinv.observation import observation_from_deepinv
from deft.interop.deepinv.operators import from_deepinv
from deft.interop.deepinv.problem import Deepinv
from deft.likelihoods import EmissionLikelihood, GaussianLikelihood, PoissonLikelihood
from deft.noise import Noise
from deft.problems import Fixed, from_card
from deft.storage.table import present
from tests.contracts.problem import ProblemContract
from tests.interop.deepinv.test_operators import Averages, LinearPhysics, Masking, Squares


class ZeroNoise(nn.Module):
    pass


class GaussianNoise(nn.Module):
    def __init__(self, sigma):
        super().__init__()
        self.register_buffer("sigma", torch.as_tensor(sigma))


class PoissonNoise(nn.Module):
    def __init__(self, gain, normalize=True):
        super().__init__()
        self.register_buffer("gain", torch.as_tensor(gain))
        self.normalize = normalize


class LogPoissonNoise(nn.Module):
    def __init__(self, mu, n_0):
        super().__init__()
        self.register_buffer("mu", torch.as_tensor(mu))
        self.register_buffer("N0", torch.as_tensor(n_0))


class LaplaceNoise(nn.Module):
    pass


def with_noise(physics, noise):
    physics.noise_model = noise
    return physics


class Shown(LinearPhysics):
    """Pixels under a mask that fits any size."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mask", torch.ones(1, 1, 1))

    def A(self, x):
        return self.mask * x

    A_adjoint = A_dagger = A


def averaged():
    return with_noise(Averages(), GaussianNoise(0.1))


def shown():
    return with_noise(Shown(), GaussianNoise(0.05))


def holes(x_0, noise):
    return {"mask": (noise.uniform(0, (1, *x_0.shape[2:])) < 0.5).to(x_0)}


def counted():
    return with_noise(Averages(), PoissonNoise(0.02))


class TestShared(ProblemContract):
    allow = ("deepinv", "tests")

    def make(self):
        return Deepinv("tests.interop.deepinv.test_problem.averaged")


class TestOwnParameters(ProblemContract):
    allow = ("deepinv", "tests")

    def make(self):
        return Deepinv(
            "tests.interop.deepinv.test_problem.shown",
            parameters="tests.interop.deepinv.test_problem.holes",
        )


def test_the_law_of_each_noise():
    x, shape = torch.rand(2, 1, 3, 4), (1, 3, 4)
    signal = Averages().A(x)
    for noise, kind, read in (
        (None, GaussianLikelihood, 0.0),
        (ZeroNoise(), GaussianLikelihood, 0.0),
        (GaussianNoise(0.2), GaussianLikelihood, 0.2),
        (PoissonNoise(0.04), EmissionLikelihood, 0.2),
        (LogPoissonNoise(0.5, 400.0), PoissonLikelihood, 0.05),
    ):
        observation = observation_from_deepinv(signal, with_noise(Averages(), noise), shape)
        assert type(observation.likelihood) is kind
        assert float(observation.sigma_y) == pytest.approx(read)
        torch.testing.assert_close(
            observation.likelihood.operator(2 * x - 1),
            observation.y if kind is PoissonLikelihood else signal,
        )
    torch.testing.assert_close(observation.y, 400 * (-0.5 * signal).exp())
    raw = observation_from_deepinv(
        signal / 0.04, with_noise(Averages(), PoissonNoise(0.04, normalize=False)), shape
    )
    torch.testing.assert_close(raw.y, signal)


def test_a_mask_of_each_image_is_found():
    mask = (torch.rand(3, 1, 4, 6) < 0.5).float()
    y = mask * torch.rand(3, 1, 4, 6)
    observation = observation_from_deepinv(
        y, with_noise(Masking(mask), GaussianNoise(torch.tensor([0.1, 0.2, 0.3]))), (1, 4, 6)
    )
    assert observation.operator.signals == 3
    taken = observation.take([2])
    torch.testing.assert_close(taken.operator(torch.ones(1, 1, 4, 6)), mask[2:])
    assert float(taken.sigma_y) == pytest.approx(0.3)


def test_what_has_no_likelihood():
    with pytest.raises(
        InvalidInput,
        match="LaplaceNoise has no likelihood here; known are ZeroNoise, GaussianNoise, "
        "PoissonNoise, LogPoissonNoise",
    ):
        observation_from_deepinv(
            torch.zeros(1, 1, 3, 2), with_noise(Averages(), LaplaceNoise()), (1, 3, 4)
        )
    with pytest.raises(
        InvalidInput,
        match=r"measures signals of shape \(1, 3, 4\) as \(1, 3, 2\); y is \(1, 3, 4\)",
    ):
        observation_from_deepinv(torch.zeros(1, 1, 3, 4), Averages(), (1, 3, 4))
    with pytest.raises(InvalidInput, match="unit multiplies a linear A; Squares is not linear"):
        observation_from_deepinv(
            torch.zeros(1, 1, 3, 4), with_noise(Squares(), LogPoissonNoise(0.5, 400.0)), (1, 3, 4)
        )


def test_counts_have_no_noise_level():
    problem = Deepinv("tests.interop.deepinv.test_problem.counted")
    y = torch.zeros(1, 1, 3, 2)
    operator = problem.operator(torch.zeros(1, 1, 3, 4), Noise([0]))
    assert isinstance(problem.likelihood(operator, y), EmissionLikelihood)
    with pytest.raises(InvalidInput, match="PoissonNoise has no sigma_y"):
        problem.likelihood(operator, y, 0.1)
    gaussian = Deepinv("tests.interop.deepinv.test_problem.averaged")
    assert float(gaussian.likelihood(operator, y, 0.3).sigma_y) == pytest.approx(0.3)


@pytest.mark.parametrize("path", ["deft.problems.Deepinv", "deft.problems.deepinv.Deepinv"])
def test_its_former_paths_are_read(path):
    physics = "tests.interop.deepinv.test_problem.averaged"
    with pytest.warns(UserWarning, match=r"dotted paths of version 0\.1"):
        found = from_card(
            {"class_path": path, "init_args": {"physics": physics}}, allow=("deepinv", "tests")
        )
    assert type(found) is Deepinv
    assert catalogue.named("problems", path) is Deepinv
    assert present({"class_path": path}) == {"class_path": "deft.interop.deepinv.problem.Deepinv"}


def test_an_operator_is_recorded_by_its_former_path():
    operator = from_deepinv(Averages(), (1, 3, 4), None)
    assert Fixed(operator).card()["args"]["operator"] == "deft.operators.deepinv.DeepinvLinear"
