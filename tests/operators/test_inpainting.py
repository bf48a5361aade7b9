import torch

from deft.noise import Noise
from deft.operators import Inpainting
from deft.problems import RandomPixelMasks
from tests.contracts.operator import SpectralOperatorContract
from tests.refusal import refused


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
    assert (
        Inpainting(torch.ones(1, 1, 2, 2, dtype=torch.bool))(torch.ones(1, 1, 2, 2)).dtype
        == torch.float32
    )


def test_errors():
    refused(
        lambda: Inpainting(torch.ones(2, 3, 4, 4)),
        "the shape (2, 3, 4, 4)",
        "(batch or 1, 1, *space)",
        "mask[:, :1]",
    )
    refused(
        lambda: Inpainting(torch.ones(4, 4)),
        "the shape (4, 4)",
        "(batch or 1, 1, *space)",
        "mask[None, None]",
    )
    refused(
        lambda: Inpainting(0.5 * torch.ones(1, 1, 4, 4)),
        "values between 0.5 and 0.5",
        "1 where the signal is observed",
        "threshold",
    )
    refused(
        lambda: Inpainting(255 * torch.ones(1, 1, 4, 4, dtype=torch.uint8)),
        "values between 255 and 255",
        "0 elsewhere",
    )
    refused(
        lambda: Inpainting(torch.full((1, 1, 2, 2), torch.nan)),
        "4 of 4 entries that are NaN or infinite",
        "finite numbers",
    )
    refused(
        lambda: Inpainting(torch.ones(1, 1, 4, 4))(torch.ones(1, 1, 4, 5)),
        "the shape (1, 1, 4, 5)",
        "(batch, any, 4, 4)",
    )
