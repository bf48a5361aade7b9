import math

import numpy as np
import pytest
import torch

from deft.data import Slices
from deft.data.ct import (
    WINDOWS,
    display,
    levels_to_hounsfield,
    to_attenuation,
    to_hounsfield,
    window,
)
from deft.data.ct.units import check_hounsfield, without_padding
from deft.errors import BadImage, InvalidInput
from deft.noise import Noise
from deft.operators import hounsfield
from deft.problems import Tomography
from tests.data.slices import stack


class TestUnits:
    def test_water_and_air(self):
        hu = torch.tensor([-1000.0, 0.0, 1000.0])
        torch.testing.assert_close(to_attenuation(hu, 0.2), torch.tensor([0.0, 0.2, 0.4]))
        torch.testing.assert_close(to_hounsfield(to_attenuation(hu, 0.2), 0.2), hu)

    def test_the_operator_and_the_data_mean_the_same(self):
        """What a prior's [-1, 1] is to the slices it is to the operator."""
        slices = Slices(stack(), (-1000.0, 2000.0))
        problem = Tomography(views=3, window=slices.window, mu_water=0.19, field=8.0)
        x_0 = slices[2][None]
        observation = problem.draw(x_0, Noise([0]))
        attenuation = to_attenuation(slices.slice(2).clamp(-1000, 2000), 0.19)[None, None]
        rays = hounsfield(observation.operator.operator, (-1000.0, 1000.0), 1.0).operator
        torch.testing.assert_close(observation.y, rays(attenuation), atol=1e-4, rtol=1e-4)

    def test_levels(self):
        images = np.array([[[10, 60, 85, 110]], [[0, 30, 45, 60]]], np.uint8)
        hu = levels_to_hounsfield(
            images, np.array([10, 30], np.uint8), np.array([110, 60], np.uint8)
        )
        np.testing.assert_allclose(
            hu, [[[-1000, -500, -250, 0]], [[-1000, -1000, -500, 0]]], atol=1e-3
        )
        with pytest.raises(InvalidInput, match="image 1 has the levels 30 and 30"):
            levels_to_hounsfield(images, np.array([10, 30]), np.array([110, 30]))
        with pytest.raises(InvalidInput, match="n levels each"):
            levels_to_hounsfield(images, np.array([10]), np.array([110]))

    def test_display(self):
        hu = torch.tensor([-2000.0, -160.0, 40.0, 240.0, 900.0])
        torch.testing.assert_close(display(hu, "abdomen"), torch.tensor([0.0, 0.0, 0.5, 1.0, 1.0]))
        assert all(low < high for low, high in WINDOWS.values())
        with pytest.raises(InvalidInput, match="did you mean lung"):
            window("lungs")
        with pytest.raises(InvalidInput, match="low < high"):
            window((100.0, 100.0))


class TestWindow:
    @pytest.mark.parametrize(
        "given",
        [
            (100.0, -100.0),
            (0.0, 0.0),
            (math.nan, 100.0),
            (-1000.0, math.inf),
            (-math.inf, 0.0),
            (),
            (1.0,),
            (1, 2, 3),
            5.0,
            None,
            ("a", "b"),
        ],
    )
    def test_what_is_none(self, given):
        with pytest.raises(InvalidInput) as raised:
            window(given)
        assert raised.value.given is not None
        assert "low < high" in raised.value.expected
        assert "chest" in raised.value.advice

    @pytest.mark.parametrize(
        ("given", "near"),
        [
            ("lungs", "lung"),
            ("Chest", "chest"),
            ("ABDOMEN", "abdomen"),
            ("mediastinal", "mediastinum"),
        ],
    )
    def test_unknown_names(self, given, near):
        with pytest.raises(InvalidInput) as raised:
            window(given)
        assert raised.value.given == given
        assert "one of full, chest" in raised.value.expected
        assert f"did you mean {near}" in raised.value.advice

    def test_what_is_one(self):
        assert (
            window([-1000, 400])
            == window(np.array([-1000, 400]))
            == window("chest")
            == (-1000.0, 400.0)
        )


@pytest.mark.parametrize("mu_water", [0.0, -0.2, math.nan, math.inf])
def test_the_attenuation_of_water(mu_water):
    for convert in (to_attenuation, to_hounsfield):
        with pytest.raises(InvalidInput) as raised:
            convert(torch.zeros(1), mu_water)
        assert "> 0" in raised.value.expected


def test_levels_that_are_not_finite():
    images = np.zeros((2, 2, 2), np.uint8)
    with pytest.raises(InvalidInput, match="image 1 has the levels 60 and nan"):
        levels_to_hounsfield(images, np.array([10, math.nan]), np.array([60, 60]))


def body(low, high, seed=0):
    return np.random.default_rng(seed).uniform(low, high, (4, 16, 16)).astype(np.float32)


class TestWhatCannotBeHounsfieldUnits:
    @pytest.mark.parametrize(
        ("hu", "advice"),
        [
            (body(0, 255), "grey values with levels_to_hounsfield"),
            (body(0, 255).round(), "grey values with levels_to_hounsfield"),
            (body(0, 255).astype(np.uint8), "levels_to_hounsfield"),
            (body(0, 120).astype(np.int8), "levels_to_hounsfield"),
            (body(0, 36), "attenuations with to_hounsfield"),
            (body(0, 0.4), "attenuations with to_hounsfield"),
            (body(0, 900), "stored values with slope and intercept"),
            (body(24, 900).astype(np.uint16), "stored values with slope and intercept"),
            (body(0, 4095), "stored values with slope and intercept"),
            (body(0, 1), "the window that they were scaled by"),
            (body(-1, 1), "the window that they were scaled by"),
            (body(-1, 3), "the window that they were scaled by"),
            (body(-1000, 65000), "set padding to -1000"),
        ],
    )
    def test_refused(self, hu, advice):
        with pytest.raises(InvalidInput) as raised:
            Slices(hu)
        assert raised.value.given is not None
        assert "Hounsfield units" in raised.value.expected
        assert advice in raised.value.advice

    @pytest.mark.parametrize("hu", [body(-3, 36), body(-20, 60), body(30, 90), body(-1024, -769)])
    def test_hardly(self, hu):
        with pytest.warns(UserWarning, match="hardly Hounsfield units"):
            assert len(Slices(hu)) == 4

    @pytest.mark.parametrize(
        ("hu", "through"),
        [
            (body(-150, 250), "abdomen"),
            (body(-150, 250), "brain"),
            (body(-1024, 3071), "full"),
            (body(-1024, 31743), "full"),
            (body(-1100, 300), "lung"),
            (body(0, 80), "brain"),  # cut to its window before
            (np.zeros((2, 4, 4)), "full"),  # water
            (np.full((2, 4, 4), -1000.0), "full"),
            (
                np.where(np.arange(4)[:, None, None] == 0, body(0, 255), body(-1000, 100)),
                "full",
            ),  # one slice without air, others with it
        ],
    )
    def test_taken_without_a_word(self, hu, through, recwarn):
        assert len(Slices(hu, through)) == len(hu)
        assert not recwarn.list

    @pytest.mark.parametrize("through", [(400.0, 900.0), (-2000.0, -1100.0)])
    def test_a_window_that_shows_nothing(self, through):
        with pytest.warns(UserWarning, match="all of it is beyond the window"):
            Slices(body(-900, 300), through)

    def test_values_that_are_not_finite(self):
        with pytest.raises(BadImage):
            check_hounsfield(math.nan, 1.0, "the slices")


class TestPadding:
    """A disc with -2000 around it, as scanners store: it is no tissue, and is air before it is
    averaged.
    """

    def test_it_is_air_before_the_average(self):
        hu = np.zeros((1, 4, 4), np.int16)
        hu[0, :2, :2] = [[-3024, -2000], [-32768, 1000]]
        with pytest.warns(UserWarning, match=r"3 values below -1500 HU \(the first in slice 0\)"):
            slices = Slices(hu, (-1000.0, 1000.0), size=2)
        assert slices.slice(0)[0, 0] == -500.0
        assert hu[0, 0, 0] == -3024

    def test_noise_in_air_is_none(self):
        hu, outside = without_padding(np.array([-1400.0, -1024.0, 0.0]))
        assert outside == 0
        assert hu.tolist() == [-1400.0, -1024.0, 0.0]
