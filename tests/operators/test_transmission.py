import math

import pytest
import torch

from deft.errors import InvalidInput
from deft.noise import Noise
from deft.operators import Tomography, Transmission, views
from tests.contracts.operator import OperatorContract


class TestTransmission(OperatorContract):
    event_shape = (1, 4, 5)

    def make(self, seeds):
        photons = 100 + 1000 * Noise([30 + seed for seed in seeds]).uniform(0)
        return Transmission(Tomography((4, 5), views(6), pixel=0.2), photons)


def scan(floor=None, photons=1e4):
    return Transmission(Tomography(8, views(10), pixel=0.1), photons, floor)


def test_the_law_of_beer_and_lambert():
    x = torch.full((1, 1, 8, 8), 2.0)
    straight = Transmission(Tomography(8, [0.0], pixel=0.1, detectors=8), 500.0)
    torch.testing.assert_close(straight(x), torch.full((1, 1, 1, 8), 500 * math.exp(-1.6)))
    torch.testing.assert_close(straight.integrals(straight(x)), torch.full((1, 1, 1, 8), 1.6))


def test_lift_is_that_of_the_integrals():
    operator, x = scan(), torch.rand(2, 1, 8, 8)
    torch.testing.assert_close(
        operator.lift(operator(x)),
        operator.operator.lift(operator.operator(x)),
        atol=1e-4,
        rtol=1e-4,
    )


class TestErrors:
    def test_no_logarithm(self):
        counts = scan()(torch.rand(3, 1, 8, 8))
        counts[1, 0, 2, 3] = 0
        with pytest.raises(
            InvalidInput,
            match=r"1 of \d+ counts are zero .* signal 1 of the batch; send more photons, or say "
            r"with `floor`",
        ):
            scan().lift(counts)
        assert scan(floor=0.1).lift(counts).isfinite().all()
        counts[2, 0, 0, 0] = -3
        for floor in (None, 0.1):
            with pytest.raises(
                InvalidInput,
                match=r"counts of photons are >= 0 and finite; 1 of \d+ are not, the first, -3, "
                r"in signal 2",
            ):
                scan(floor).lift(counts)

    def test_settings(self):
        with pytest.raises(InvalidInput, match=r"photons is the number .* got 0"):
            scan(photons=0.0)
        with pytest.raises(InvalidInput, match="floor stands in"):
            scan(floor=-1.0)
