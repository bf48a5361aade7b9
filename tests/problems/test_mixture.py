import torch

from deft.noise import Noise
from deft.operators.matrix import Matrix
from deft.operators.mixed import Mixed
from deft.problems import (
    AnyOf,
    Deblurring,
    Denoising,
    HighDynamicRange,
    Inpainting,
    RandomProjections,
    SuperResolution,
)
from tests.contracts.problem import ProblemContract
from tests.refusal import refused


class TestAnyOf(ProblemContract):
    event_shapes = ((1, 8, 8), (3, 12, 20))

    def make(self):
        parts = [
            Inpainting("random"),
            SuperResolution(2),
            Denoising(),
            Deblurring("gaussian"),
            RandomProjections(0.5, count=3),
        ]
        return AnyOf(parts, sigma_y=(0.01, 0.5))


class TestRandomProjections(ProblemContract):
    def make(self):
        return RandomProjections(0.25, count=2, sigma_y=(0.1, 0.2))


def test_every_kind_is_drawn_equally():
    problem = AnyOf([Denoising(), SuperResolution(2), SuperResolution(4)])
    operator = problem.operator(torch.zeros(600, 1, 8, 8), Noise(range(600)))
    assert isinstance(operator, Mixed)
    shares = operator.kind.bincount() / 600
    assert ((shares - 1 / 3).abs() < 4 * (2 / 9 / 600) ** 0.5).all()


def test_a_part_gets_what_the_problem_would_have_measured():
    problem = AnyOf([SuperResolution(2)])
    x_0 = torch.randn(2, 1, 8, 8)
    y = problem.draw(x_0, Noise([0, 1])).y
    assert y.shape == (2, 16)
    assert torch.equal(y.reshape(2, 1, 4, 4), SuperResolution(2).draw(x_0, Noise([0, 1])).y)


def test_random_projections_are_what_they_say():
    operator = RandomProjections(0.25, count=1).operator(torch.zeros(1, 1, 32, 32), Noise([0]))
    assert isinstance(operator, Matrix)
    u, s, v_t = operator.parts
    a = (u * s[:, None]) @ v_t
    assert a.shape == (1, 256, 1024)
    assert abs(float(a.std()) - 1 / 32) < 1e-3


def test_a_problem_that_is_not_linear_is_refused():
    problem = AnyOf([HighDynamicRange()])
    refused(
        lambda: problem.operator(torch.zeros(1, 1, 8, 8), Noise([0])),
        "HighDynamicRange, which is not linear",
        "LinearOperators",
    )


def test_a_mixture_of_nothing_is_refused():
    refused(lambda: AnyOf([]), "none", "one or more problems")


def test_an_operator_is_shared_where_no_seed_has_a_say():
    like = torch.zeros(2, 1, 8, 8)
    shared = SuperResolution(2).shared_operator(like)
    assert shared is not None
    assert shared(like).shape == (2, 1, 4, 4)
    assert Inpainting("random").shared_operator(like) is None
    assert AnyOf([Denoising(), SuperResolution(2)]).shared_operator(like) is None
    assert AnyOf([SuperResolution(2)]).shared_operator(like) is not None
