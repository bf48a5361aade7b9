import json
import math

import pytest

from deft.errors import InvalidInput
from deft.studies.tune import geometric_grid, tune


def parabola(best):
    return lambda value: (math.log10(value) - math.log10(best)) ** 2


def test_an_optimum_inside_is_found_without_more_values():
    tuned = tune(parabola(0.3), geometric_grid(0.01, 10, 10), metric="mse")
    assert tuned.inside
    assert len(tuned.table) == 10
    assert tuned.value == pytest.approx(0.2154, rel=1e-3)
    assert tuned.card()["metric"] == "mse"


@pytest.mark.parametrize("best", [1e-3, 1e2])
def test_the_grid_extends_itself_to_either_side(best):
    seen = []
    tuned = tune(
        parabola(best),
        geometric_grid(0.01, 10, 10),
        metric="mse",
        on_value=lambda value, score: seen.append(value),
    )
    assert tuned.inside
    assert abs(math.log10(tuned.value / best)) < 0.2
    assert len(seen) == len(set(seen)) == len(tuned.table) > 10


def test_larger_may_be_better():
    worse = parabola(0.3)
    assert tune(
        lambda value: -worse(value), geometric_grid(0.01, 10), metric="psnr", larger_is_better=True
    ).inside


def test_bounds_and_the_number_of_extensions_are_kept_and_said():
    at_bound = tune(lambda value: -value, geometric_grid(0.01, 1, 9), metric="mse", bounds=(0, 1))
    assert not at_bound.inside
    assert at_bound.value == pytest.approx(1)
    assert len(at_bound.table) == 9
    endless = tune(lambda value: -value, geometric_grid(0.01, 1, 9), metric="mse", extensions=3)
    assert not endless.inside
    assert len(endless.table) == 15


def test_what_is_not_finite_is_the_worst():
    tuned = tune(
        lambda value: math.nan if value > 0.1 else parabola(0.05)(value),
        geometric_grid(0.001, 1, 9),
        metric="mse",
    )
    assert tuned.value < 0.1
    assert tuned.inside
    with pytest.raises(InvalidInput, match="no value"):
        tune(lambda value: math.nan, geometric_grid(0.001, 1, 9), metric="mse")


@pytest.mark.parametrize(
    "values",
    [geometric_grid(0.1, 10, 7), geometric_grid(0.1, 5, 9), [0.0, *geometric_grid(0.1, 10, 8)]],
)
def test_too_few_values_or_too_narrow(values):
    with pytest.raises(InvalidInput, match="at least 8 positive values over two decades"):
        tune(parabola(1), values, metric="mse")


def test_wrong_grids():
    with pytest.raises(InvalidInput, match="0 < low < high"):
        geometric_grid(1, 0.1)
    with pytest.raises(InvalidInput, match="within bounds"):
        tune(parabola(1), geometric_grid(0.1, 10, 9), metric="mse", bounds=(0, 1))


def test_a_value_that_diverged_is_the_worst_and_the_card_is_json():
    tuned = tune(
        lambda value: math.nan if value > 3 else -value, geometric_grid(0.01, 10, 10), metric="mse"
    )
    assert tuned.value < 3
    card = json.loads(json.dumps(tuned.card(), allow_nan=False))
    assert card["table"][-1] == [pytest.approx(10.0), None]
