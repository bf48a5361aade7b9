import pytest
import torch

from deft.errors import InvalidInput
from deft.noise import Noise
from deft.operators import Blur, Identity, InUnits
from deft.operators import Inpainting as InpaintingOperator
from deft.operators import SuperResolution as SuperResolutionOperator
from deft.problems import BlackBox, Fixed
from tests.contracts.problem import ProblemContract


def darkened(x, gain):
    return torch.tanh(gain * x)


def brightened(y, gain):
    return y / gain


def gains(x_0, noise):
    return 1 + noise.uniform(0, (1,) * (x_0.ndim - 1)).to(x_0)


def signs(x):
    return x.sign()


class TestBlackBox(ProblemContract):
    allow = ("tests",)

    def make(self):
        path = "tests.problems.test_own."
        return BlackBox(
            path + "darkened", lift=path + "brightened", parameters=path + "gains", sigma_y=0.05
        )


class TestDifferentiableBlackBox(ProblemContract):
    allow = ("tests",)

    def make(self):
        return BlackBox(
            "tests.problems.test_own.darkened",
            differentiable=True,
            parameters="tests.problems.test_own.gains",
            sigma_y=0.05,
        )


def test_functions_of_black_boxes():
    with pytest.raises(
        InvalidInput, match=r"tests\.problems\.test_own\.signs has no derivative.*give lift="
    ):
        BlackBox("tests.problems.test_own.signs")
    with pytest.raises(InvalidInput, match="Did you mean signs"):
        BlackBox("tests.problems.test_own.sings")
    with pytest.raises(InvalidInput, match="mporting it said"):
        BlackBox("tests.no_such_module.signs")
    for other in ("os.system", "builtins.eval", "torch.sign", "signs"):
        with pytest.raises(
            InvalidInput, match="expected the dotted path of a function written in that module"
        ):
            BlackBox(other)


def test_fixed_operators():
    mask = torch.ones(1, 1, 4, 4)
    problem = Fixed(InpaintingOperator(mask), sigma_y=0.1)
    assert problem.draw(torch.randn(2, 1, 4, 4), Noise([0, 1])).y.shape == (2, 1, 4, 4)
    card = problem.card()["args"]
    assert (card["operator"], card["signals"], card["sigma_y"]) == (
        "deft.operators.inpainting.Inpainting",
        1,
        0.1,
    )


def test_fixed_operators_of_so_many_signals():
    masks = torch.eye(3).reshape(3, 1, 1, 3).expand(-1, -1, 3, -1)
    problem = Fixed(InUnits(InpaintingOperator(masks), 0.5, 0.5), sigma_y=0.1)
    assert problem.card()["args"]["signals"] == 3
    assert problem.draw(torch.randn(3, 1, 3, 3), Noise(range(3))).y.shape == (3, 1, 3, 3)
    with pytest.raises(
        InvalidInput,
        match="InUnits has parameters for 3 signals, each its own, and 2 are to be measured",
    ):
        problem.draw(torch.randn(2, 1, 3, 3), Noise(range(2)))


class TestFingerprintOfAnOperator:
    @staticmethod
    def of(operator):
        return Fixed(operator).card()["args"]["fingerprint"]

    def test_tells_operators_apart(self):
        mask, other = torch.ones(1, 1, 4, 4), torch.ones(1, 1, 4, 4)
        other[..., 0] = 0
        operators = [
            Identity(),
            InpaintingOperator(mask),
            InpaintingOperator(other),
            InUnits(InpaintingOperator(mask), 0.5, 0.5),
            InUnits(InpaintingOperator(mask), 0.5, 0.25),
            SuperResolutionOperator(2, (1, 8, 8)),
            SuperResolutionOperator(4, (1, 8, 8)),
            SuperResolutionOperator(2, (1, 8, 8), "bicubic"),
        ]
        assert len({self.of(operator) for operator in operators}) == len(operators)

    def test_depends_on_the_operator_alone(self):
        kernel = torch.rand(1, 3, 3)
        operator = Blur(kernel)
        before = self.of(operator)
        assert self.of(Blur(kernel.clone())) == before
        operator(torch.randn(2, 1, 8, 8))  # keeps a transfer function
        assert self.of(operator) == before
        assert self.of(operator.double()) == before
        assert self.of(SuperResolutionOperator(2, (1, 8, 8), "bicubic")) == self.of(
            SuperResolutionOperator(2, (1, 8, 8), "bicubic")
        )
