import pytest
import torch

from deft.errors import InvalidInput
from deft.operators import (
    Inpainting,
    InUnits,
    ReflectBlur,
    SuperResolution,
    Tomography,
    gaussian_kernel,
)
from deft.operators.tomography import views
from deft.operators.units import hounsfield
from tests.contracts.operator import LinearOperatorContract
from tests.operators.test_inpainting import masks


class TestInpaintingInUnits(LinearOperatorContract):
    event_shape = (2, 4, 5)

    def make(self, seeds):
        return InUnits(Inpainting(masks(self.event_shape, seeds)), scale=0.5, offset=0.5)


class TestSuperResolutionInUnits(LinearOperatorContract):
    event_shape = (1, 4, 6)

    def make(self, seeds):
        return InUnits(
            SuperResolution(2, self.event_shape, kernel="bicubic"), scale=-3.0, offset=1.0
        )


class TestUnitsOfUnits(LinearOperatorContract):
    event_shape = (1, 4, 4)

    def make(self, seeds):
        return InUnits(
            InUnits(Inpainting(masks(self.event_shape, seeds)), scale=2.0, offset=-1.0),
            scale=0.5,
            offset=0.5,
        )


def test_lift_inverts_the_units():
    x = torch.randn(2, 1, 4, 4)
    operator = InUnits(Inpainting(masks((1, 4, 4), [0, 1])), scale=0.5, offset=0.5)
    torch.testing.assert_close(operator.lift(operator(x)), operator.coverage(x) * x)


def test_a_constant_is_lifted_to_itself():
    x = torch.full((1, 1, 8, 8), 0.3)
    for inner, exact in (
        (SuperResolution(2, (1, 8, 8)), 1e-5),
        (ReflectBlur(gaussian_kernel(3, 0.7)), 0.02),
    ):
        operator = InUnits(inner, scale=0.5, offset=0.5)
        torch.testing.assert_close(operator.lift(operator(x)), x, atol=exact, rtol=0)


def test_a_scale_of_zero_is_refused():
    with pytest.raises(InvalidInput, match="must not be 0"):
        InUnits(SuperResolution(2, (1, 4, 4)), scale=0.0)


def test_tomography_is_lifted_in_its_own_units():
    """Air around the body is zero there: the back-projection has no edge at the border of the
    image, which the middle of the window would have.
    """
    operator = Tomography(16, views(7))
    in_units = hounsfield(operator, (-1000.0, 1500.0), 0.2)
    x_0 = torch.full((1, 1, 16, 16), -1.0)
    x_0[..., 5:11, 4:12] = 0.1
    y = in_units(x_0)
    torch.testing.assert_close(
        in_units.lift(y), (operator.lift(y) - in_units.offset) / in_units.scale
    )
    assert float((in_units.lift(in_units(torch.full_like(x_0, -1.0))) + 1).abs().max()) < 1e-5
