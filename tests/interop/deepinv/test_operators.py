"""The adapter, on physics that look like deepinv's; tests/test_deepinv.py has the real ones."""

import math

import pytest
import torch
from torch import nn

from deft.errors import InvalidInput
from deft.interop.deepinv.operators import DeepinvLinear, DeepinvOperator, from_deepinv
from deft.operators.base import LinearOperator
from deft.operators.units import InUnits
from tests.contracts.operator import LinearOperatorContract, OperatorContract


class Physics(nn.Module):
    def sensor(self, y):
        return y

    def update_parameters(self, **parameters):
        for name, value in parameters.items():
            setattr(self, name, value.to(getattr(self, name)))


class LinearPhysics(Physics):
    """What the adapter knows a linear physics by."""


class Masking(LinearPhysics):
    def __init__(self, mask):
        super().__init__()
        self.register_buffer("mask", mask)

    def A(self, x):
        return self.mask * x

    A_adjoint = A_dagger = A


class Averages(LinearPhysics):
    """Means of neighbours along the last axis; the adjoint is off by `error`."""

    def __init__(self, error=0.0):
        super().__init__()
        self.error = error

    def A(self, x):
        return x.unflatten(-1, (-1, 2)).mean(-1)

    def A_adjoint(self, y):
        return (0.5 + self.error) * y.repeat_interleave(2, -1)

    def A_dagger(self, y):
        return y.repeat_interleave(2, -1)


class Squares(Physics):
    def A(self, x):
        return x**2

    def A_dagger(self, y):
        return y.abs().sqrt()


def masks(seeds):
    draws = [
        (torch.rand(1, 4, 6, generator=torch.Generator().manual_seed(seed)) < 0.6).double()
        for seed in seeds
    ]
    return torch.stack(draws) if draws else torch.ones(1, 1, 4, 6).double()


class TestMasks(LinearOperatorContract):
    event_shape = (2, 4, 6)

    def make(self, seeds):
        mask = masks(seeds)
        return from_deepinv(Masking(mask), self.event_shape, None, parameters={"mask": mask})


class TestAverages(LinearOperatorContract):
    event_shape = (1, 3, 4)

    def make(self, seeds):
        return from_deepinv(Averages(), self.event_shape, (-1.0, 1.0))


class TestDerivative(LinearOperatorContract):
    event_shape = (1, 3, 4)

    def make(self, seeds):
        return from_deepinv(Averages(error=0.2), self.event_shape, adjoint="autograd")


class TestSquares(OperatorContract):
    event_shape = (2, 3, 4)

    def make(self, seeds):
        return from_deepinv(Squares(), self.event_shape)


def test_units():
    x_0 = 2 * torch.rand(2, 1, 3, 4) - 1
    shared = from_deepinv(Averages(), (1, 3, 4))
    torch.testing.assert_close(shared(x_0), Averages().A((x_0 + 1) / 2))
    torch.testing.assert_close(from_deepinv(Averages(), (1, 3, 4), None)(x_0), Averages().A(x_0))
    torch.testing.assert_close(
        from_deepinv(Averages(), (1, 3, 4), (0.0, 255.0), unit=2.0)(x_0),
        2 * Averages().A(x_0 / 255),
    )
    torch.testing.assert_close(from_deepinv(Squares(), (1, 3, 4))(x_0), (x_0 + 1) ** 2 / 4)
    y = Squares().A((x_0 + 1) / 2)
    torch.testing.assert_close(from_deepinv(Squares(), (1, 3, 4)).lift(y), x_0)
    assert isinstance(shared, InUnits)
    assert isinstance(from_deepinv(Averages(), (1, 3, 4), None), DeepinvLinear)
    assert isinstance(from_deepinv(Squares(), (1, 3, 4)), DeepinvOperator)


def test_the_mask_is_what_is_covered():
    mask = masks([0, 1]).float()
    operator = from_deepinv(Masking(mask), (2, 4, 6), parameters={"mask": mask})
    torch.testing.assert_close(operator.coverage(torch.zeros(2, 2, 4, 6)), mask)
    torch.testing.assert_close(operator.count(torch.zeros(2, 2, 4, 6)), 2 * mask.flatten(1).sum(1))


def test_a_users_physics_is_left_as_it_is():
    mask = masks([0, 1, 2]).float()
    physics = Masking(mask)
    operator = from_deepinv(physics, (2, 4, 6), parameters={"mask": mask})
    operator.take([2])(torch.randn(1, 2, 4, 6))
    assert torch.equal(physics.mask, mask)
    operator.to("meta")
    assert physics.mask.device.type == "cpu"


def test_another_physics_has_another_identity():
    a, b = (
        from_deepinv(Masking(masks([seed]).float()), (1, 4, 6), None).identity for seed in (0, 1)
    )
    assert a != b
    assert a == from_deepinv(Masking(masks([0]).float()), (1, 4, 6), None).identity


def test_an_adjoint_that_is_none():
    with pytest.raises(
        InvalidInput, match=r"A_adjoint in Averages is not its adjoint: .* Use adjoint='autograd'"
    ):
        from_deepinv(Averages(error=1e-3), (1, 3, 4))
    operator = from_deepinv(Averages(error=1e-3), (1, 3, 4), adjoint="autograd")
    assert isinstance(operator, LinearOperator)
    v = torch.randn(2, 1, 3, 2, requires_grad=True)
    torch.testing.assert_close(operator.adjoint(v), 0.25 * v.repeat_interleave(2, -1))
    assert torch.autograd.grad(operator.adjoint(v).square().sum(), v)[0].isfinite().all()


class Returning(Physics):
    def __init__(self, returns, sensor=None):
        super().__init__()
        self.returns, self.of_sensor = returns, sensor

    def A(self, x):
        return self.returns(x)

    def sensor(self, y):
        return y if self.of_sensor is None else self.of_sensor(y)


@pytest.mark.parametrize(
    ("physics", "says"),
    [
        (Returning(lambda x: [x, x]), "returns list, not one tensor.*adapt each part"),
        (Returning(lambda x: x + 1j), "complex numbers.*view_as_real"),
        (Returning(lambda x: x / 0), r"NaN or infinite numbers at the batch indices 0 of 1"),
        (
            Returning(lambda x: x.repeat(3, 1, 1, 1)),
            "was given 1 signals and returned the shape .* name them in parameters=",
        ),
        (Returning(lambda x: x, torch.sign), "has a sensor_model, which comes after the noise"),
        (math, "has a method A; module has none"),
    ],
)
def test_what_cannot_be_adapted(physics, says):
    with pytest.raises(InvalidInput, match=says):
        from_deepinv(physics, (1, 3, 4))


def test_wrong_arguments():
    mask = masks([0, 1]).float()
    for says, arguments in (
        ("adjoint is 'own'", {"adjoint": "mine"}),
        ("low < high", {"value_range": (1.0, -1.0)}),
        ("has no parameter 'kernel'", {"parameters": {"kernel": mask}}),
        ("has a first axis over the signals", {"parameters": {"mask": torch.tensor(1.0)}}),
    ):
        with pytest.raises(InvalidInput, match=says):
            from_deepinv(Masking(mask), (1, 4, 6), **arguments)
    with pytest.raises(InvalidInput, match="unit multiplies a linear A"):
        from_deepinv(Squares(), (1, 4, 6), unit=2.0)
    rows = torch.randn(2, 4)  # two rows, not two signals

    class Rows(LinearPhysics):
        def __init__(self):
            super().__init__()
            self.register_buffer("rows", rows)

        def A(self, x):
            return x.flatten(1) @ self.rows.T

    with pytest.raises(InvalidInput, match="do not run over the signals"):
        from_deepinv(Rows(), (1, 2, 2), parameters={"rows": rows})
