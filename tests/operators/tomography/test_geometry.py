"""What is no scan, no image and no sinogram."""

import math
import warnings

import pytest
import torch

from deft.errors import InvalidInput
from deft.operators import Tomography, Transmission, views
from deft.operators.tomography import angles, geometry, operator, quantities

SCAN = {
    "size": [
        0,
        -3,
        2.5,
        "8",
        None,
        True,
        (8,),
        (8, 9, 10),
        (8, 0),
        math.nan,
        10**9,
        (10**5, 10**5),
    ],
    "angles": [
        [],
        [math.nan],
        [math.inf],
        "all",
        None,
        [1j],
        [True, False],
        [[[0.0]]],
        3.0,
        [1e30],
        [0.0, "a"],
        torch.linspace(0, math.pi, 180),
        torch.arange(60) * math.pi / 60,
        torch.linspace(0, 2 * math.pi, 90),
        [0.0, math.pi / 2],
        -torch.linspace(0, math.pi, 30),
        torch.arange(7) * math.pi / 7,
        views(60, math.pi),
    ],
    "detectors": [0, -1, 12.5, math.nan, math.inf, "12", True, 10**12, 1j],
    "spacing": [0.0, -1.0, math.nan, math.inf, "1", 1j, 1e-9, True],
    "pixel": [0.0, -1.0, math.nan, math.inf, "1", None],
    "fan": [
        (math.nan, 1),
        (5.0, 5.0),
        (100.0, -1.0),
        (math.inf, 1.0),
        (100.0,),
        (1, 2, 3),
        100.0,
        "ab",
        (100.0, math.nan),
        ("a", 1),
    ],
    "centre": ["midle", None, 3],
    "filter": ["han", None, 3],
    "stored": ["yes", 1],
}


def unchecked(function):
    """Without the checks of types that tests put around every function: as users call it."""
    return getattr(function, "__wrapped__", function)


HELPERS = (
    "geometry",
    "whole",
    "real",
    "positive",
    "checked_angles",
    "image_size",
    "distances",
    "check_name",
)


def uncheck(monkeypatch):
    """Every module of scans calls the helpers as users call them."""
    for module in (quantities, angles, geometry, operator):
        for helper in HELPERS:
            if hasattr(module, helper):
                monkeypatch.setattr(module, helper, unchecked(getattr(module, helper)))


def made(**settings):
    settings = {"size": 8, "angles": [0.0, 90.0]} | settings
    scan = Tomography.__new__(Tomography)
    checked = {
        "size": lambda: unchecked(quantities.image_size)(settings["size"]),
        "angles": lambda: unchecked(angles.checked_angles)(settings["angles"]),
    }
    for name in settings:
        if name in checked:
            checked[name]()
    unchecked(Tomography.__init__)(scan, settings.pop("size"), settings.pop("angles"), **settings)
    return scan


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in SCAN.items() for value in values]
)
def test_what_is_no_scan(name, value, monkeypatch):
    uncheck(monkeypatch)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(InvalidInput) as raised:
            made(**{name: value})
    assert str(raised.value).count("\n") == 0


@pytest.mark.parametrize(
    ("count", "span", "start"),
    [
        (0, 180, 0),
        (2.5, 180, 0),
        (-1, 180, 0),
        (math.nan, 180, 0),
        (True, 180, 0),
        (60, 0, 0),
        (60, math.nan, 0),
        (60, math.inf, 0),
        (60, 180, math.nan),
        (60, 1e9, 0),
        (10**9, 180, 0),
        ("6", 180, 0),
        (60, None, 0),
    ],
)
def test_what_are_no_views(count, span, start, monkeypatch):
    uncheck(monkeypatch)
    with pytest.raises(InvalidInput) as raised:
        unchecked(views)(count, span, start)
    assert raised.value.expected


class TestRadians:
    def test_they_are_refused_with_what_to_do(self):
        with pytest.raises(InvalidInput) as raised:
            Tomography(64, torch.linspace(0, math.pi, 180))
        assert raised.value.expected == "degrees"
        assert "rad2deg" in raised.value.advice

    def test_a_doubtful_scan_is_warned_about(self):
        with pytest.warns(UserWarning, match=r"40 views .* within 3\.0.* degrees.*rad2deg"):
            Tomography(64, 0.01 + 3.05 * torch.linspace(0, 1, 40))

    @pytest.mark.parametrize(
        "angles",
        [
            [0.0],
            [0.0, 0.0],
            [0.0, 1.0, 2.0],
            views(60),
            views(8, 10.0),
            views(20, 20.0, -10.0),
            [0.5],
        ],
    )
    def test_degrees_are_not(self, angles):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            Tomography(8, angles)


class TestTensors:
    scan = Tomography(8, views(5), detectors=12)

    @pytest.mark.parametrize(
        "dtype",
        [torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool, torch.complex64],
    )
    def test_numbers_that_are_not_real_enough(self, dtype):
        for function, shape in (
            (self.scan, (1, 1, 8, 8)),
            (self.scan.lift, (1, 1, 5, 12)),
            (self.scan.adjoint, (1, 1, 5, 12)),
        ):
            with pytest.raises(InvalidInput) as raised:
                function(torch.ones(shape, dtype=dtype))
            assert str(dtype).removeprefix("torch.") in raised.value.given

    @pytest.mark.parametrize("value", [math.nan, math.inf])
    def test_a_sinogram_that_is_not_finite(self, value):
        y = torch.zeros(3, 1, 5, 12)
        y[2, 0, 1, 1] = value
        with pytest.raises(InvalidInput) as raised:
            self.scan.lift(y)
        assert "NaN or infinite, in entry 2 of the batch" in raised.value.given


@pytest.mark.parametrize(
    "photons",
    [
        0.0,
        -1.0,
        math.nan,
        math.inf,
        "many",
        None,
        1j,
        torch.ones(2, 2),
        torch.tensor([1.0, math.nan]),
    ],
)
def test_photons(photons):
    with pytest.raises(InvalidInput) as raised:
        unchecked(Transmission.__init__)(
            Transmission.__new__(Transmission), Tomography(8, [0.0]), photons
        )
    assert "> 0" in raised.value.expected


class TestConventions:
    def test_they_are_lines_of_a_key_and_a_value(self):
        lines = Tomography((6, 8), views(60), pixel=0.5, detectors=9).conventions().splitlines()
        found = {line.split("  ")[0]: line for line in lines}
        assert set(found) >= {
            "image",
            "sinogram",
            "rotation centre",
            "detector",
            "cells",
            "angles",
            "beam",
        }
        assert "60 views, 9 detectors" in found["sinogram"]
        assert "row 2.5, column 3.5, detector 4" in found["rotation centre"]
        assert "60 views from 0 to 177 in steps of 3" in found["angles"]
        assert "10 see the whole image" in found["cells"]

    def test_those_of_a_fan(self):
        text = Tomography(16, views(7, 360.0), fan=(40.0, 20.0)).conventions()
        assert "the source at -40 f, the detector at 20 f" in text

    def test_what_they_say_is_so(self):
        """A point on the right and above the middle: at 0 degrees right of the detector's
        middle, at 90 above it, counted from below.
        """
        x = torch.zeros(1, 1, 9, 9)
        x[..., 1, 6] = 1
        y = Tomography(9, [0.0, 90.0], detectors=9)(x)[0, 0]
        assert y.argmax(1).tolist() == [6, 7]
        assert "cell 0 on the left, at 90 below" in Tomography(9, [0.0, 90.0]).conventions()
