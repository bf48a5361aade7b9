import pytest
import torch

from deft.operators import HighDynamicRange, Inpainting, Matrix, Mixed, SuperResolution
from tests.contracts.operator import LinearOperatorContract
from tests.refusal import refused

SHAPE = (1, 4, 4)


def mask(seed):
    return (torch.rand(1, 1, 4, 4, generator=torch.Generator().manual_seed(seed)) > 0.4).double()


class TestMixed(LinearOperatorContract):
    event_shape = SHAPE

    def make(self, seeds):
        """Masks of their own, one matrix for all, block averages."""
        seeds = list(seeds)
        kind = torch.tensor([seed % 3 for seed in seeds], dtype=torch.long)
        own = [seed for seed in seeds if seed % 3 == 0]
        place = torch.tensor([own.index(s) if s in own else 0 for s in seeds], dtype=torch.long)
        masks = torch.cat([mask(seed) for seed in own or [0]])
        a = torch.randn(5, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        parts = [Inpainting(masks), Matrix(a, SHAPE), SuperResolution(2, SHAPE)]
        return Mixed(parts, kind, place, SHAPE)


def test_it_is_what_the_parts_say():
    """Signal by signal, in any order, and after a selection."""
    operator = TestMixed().make([3, 1, 2, 0])
    x = torch.randn(4, *SHAPE, dtype=torch.float64)
    y = operator(x)
    assert torch.equal(y[1, :5], operator._parts[1](x[1:2])[0])
    assert not y[1, 5:].any()
    assert torch.equal(y[2, :4], SuperResolution(2, SHAPE)(x[2:3]).flatten())
    assert torch.equal(y[0], (mask(3) * x[0]).flatten())
    assert torch.equal(operator.take([3, 0])(x[[3, 0]]), y[[3, 0]])


def test_padding_is_no_measurement():
    operator = Mixed([SuperResolution(2, SHAPE)], torch.zeros(1), torch.zeros(1), SHAPE, length=9)
    assert operator.measurement_shape() == (9,)
    assert operator.count(torch.ones(1, 9)).tolist() == [4]
    assert operator.observed(torch.ones(1, 9)).sum() == 4


@pytest.mark.parametrize(
    ("parts", "given"),
    [([], "none"), ([HighDynamicRange()], "HighDynamicRange, which is not linear")],
)
def test_parts_that_are_not_linear_are_refused(parts, given):
    refused(lambda: Mixed(parts, torch.zeros(1), torch.zeros(1), SHAPE), given, "LinearOperators")


def test_signals_without_a_kind_are_refused():
    refused(
        lambda: Mixed([SuperResolution(2, SHAPE)], torch.zeros(2), torch.zeros(1), SHAPE),
        "the shapes (2,) and (1,)",
        "one whole number for each signal",
    )
