import pytest
import torch

from deft.errors import InvalidInput
from deft.noise import Noise
from deft.operators import Inpainting, RandomPixelMasks
from tests.contracts.operator import SpectralOperatorContract


def masks(event_shape, seeds):
    like = torch.empty(len(seeds), *event_shape)
    return RandomPixelMasks(keep=0.6).draw(like, Noise([100 + seed for seed in seeds]))


class TestInpainting(SpectralOperatorContract):
    event_shape = (3, 4, 5)

    def make(self, seeds):
        return Inpainting(masks(self.event_shape, seeds))


class TestInpaintingOfALine(TestInpainting):
    event_shape = (2, 9)


class TestOneMaskForAll(SpectralOperatorContract):
    event_shape = (1, 4, 4)

    def make(self, seeds):
        return Inpainting(masks(self.event_shape, [0]))


def test_what_is_missing_says_nothing():
    mask = torch.zeros(1, 1, 2, 2)
    mask[..., 0] = 1
    operator, y = Inpainting(mask), torch.ones(2, 3, 2, 2)
    assert torch.equal(operator.lift(y)[..., 1], torch.zeros(2, 3, 2))
    assert torch.equal(operator.observed(y), mask.expand_as(y))
    assert operator.count(y).tolist() == [6.0, 6.0]
    assert torch.equal(operator.coverage(y), mask.expand(2, 1, 2, 2))


def test_gradients_pass_a_solve_without_noise():
    operator = Inpainting(masks((1, 4, 4), [0]))
    x = torch.randn(1, 1, 4, 4, requires_grad=True)
    solved = operator.solve(operator(x), torch.ones(1), torch.zeros(1))
    assert torch.autograd.grad(solved.sum(), x)[0].isfinite().all()


def test_a_boolean_mask_is_a_mask():
    assert Inpainting(torch.ones(1, 1, 2, 2, dtype=torch.bool))(torch.ones(1, 1, 2, 2)).dtype == torch.float32


def test_errors():
    with pytest.raises(InvalidInput, match=r"\(batch or 1, 1, \*space\)"):
        Inpainting(torch.ones(2, 3, 4, 4))
    with pytest.raises(InvalidInput, match=r"between 0\.5 and 0\.5"):
        Inpainting(0.5 * torch.ones(1, 1, 4, 4))
    with pytest.raises(InvalidInput, match=r"size \(4, 4\), the signal \(4, 5\)"):
        Inpainting(torch.ones(1, 1, 4, 4))(torch.ones(1, 1, 4, 5))
