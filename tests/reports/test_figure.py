import io

import numpy as np
import pytest
from PIL import Image

from deft.reports import figure


def test_a_picture_shows_the_range_from_black_to_white():
    x = np.array([[[-1.0, 0.0], [1.0, 7.0]]])
    shown = figure.picture(x, (-1, 1))
    assert shown.shape == (2, 2, 3)
    assert shown[..., 0].tolist() == [[0, 128], [255, 255]]
    colour = figure.picture(np.stack([x[0], -x[0], x[0]]), (-1, 1))
    assert colour[1, 0].tolist() == [255, 0, 255]


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 5, 9), (7, 4, 4), (2, 40)])
def test_any_signal_has_a_picture(shape):
    shown = figure.picture(np.random.default_rng(0).normal(size=shape), (-1, 1))
    assert shown.dtype == np.uint8
    assert shown.shape[2] == 3


def test_not_a_number_is_shown_somehow():
    assert figure.picture(np.full((1, 4, 4), np.nan), (-1, 1)).max() == 0
    assert figure.heat(np.full((4, 4), np.nan), 1.0).min() > 100


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_a_sample_has_that_is_not_finite_is_magenta(value):
    for shape in ((1, 4, 4), (3, 4, 4)):
        x = np.zeros(shape)
        x[0, 1, 2] = value
        shown = figure.drawn(x, (-1, 1))
        assert shown[1, 2].tolist() == [255, 0, 255]
        assert (np.delete(shown.reshape(-1, 3), 6, axis=0) == 128).all()
    curve = np.zeros((1, 20))
    assert not (figure.drawn(curve, (-1, 1)) == (255, 0, 255)).all()
    curve[0, 3] = value
    assert (figure.drawn(curve, (-1, 1)) == (255, 0, 255)).all()


@pytest.mark.parametrize("side", [8, 32, 300])
def test_a_scale_stands_below_a_picture_of_values(side):
    shown = figure.heat(np.linspace(0, 0.25, side * side).reshape(side, side), 0.25)
    scaled = figure.with_scale(shown, 0.25)
    scale = scaled.shape[1] // side
    assert scaled.shape == (side * scale + 18, side * scale, 3)
    assert (scaled[: side * scale : scale, ::scale] == shown).all()
    strip = scaled[side * scale :]
    colours = {tuple(p) for p in strip[9].tolist()}
    assert len(colours) > 10  # from one end of the map to the other
    assert (strip == 0x22).any()  # and numbers


def test_heat_rises_in_lightness():
    shades = figure.heat(np.linspace(0, 1, 50)[None], 1.0)[0].astype(float) @ [
        0.2126,
        0.7152,
        0.0722,
    ]
    assert (np.diff(shades) > -1).all()
    assert shades[0] < 5
    assert shades[-1] > 230


def test_hatching_leaves_what_was_measured():
    shown, coverage = np.full((6, 6, 3), 200, np.uint8), np.ones((1, 6, 6))
    coverage[:, :3] = 0
    hatched = figure.hatch(shown, coverage)
    assert (hatched[3:] == 200).all()
    assert (hatched[:3] < 180).all()


def test_png_and_enlargement():
    shown = np.zeros((4, 6, 3), np.uint8)
    assert Image.open(io.BytesIO(figure.png(shown, 3))).size == (18, 12)
    assert [figure.enlargement((1, n, n)) for n in (28, 32, 64, 256)] == [4, 4, 2, 1]


def test_a_grid_has_a_place_for_every_picture():
    tile = np.full((8, 8, 3), 90, np.uint8)
    sheet = figure.grid(
        [[tile, tile], [tile, None]], ["truth", "a label of several words"], scale=4
    )
    assert (sheet == 90).all(axis=2).sum() >= 3 * 32 * 32
    assert (sheet[-20, -20] == 255).all()
