import math

import numpy as np
import pytest

from deft.studies.estimate import Estimate, finite, groups


def test_the_error_of_a_mean_is_the_usual_one():
    values = [1.0, 2.0, 4.0, 9.0]
    estimate = Estimate.mean(values)
    assert estimate.value == 4.0
    assert estimate.standard_error == pytest.approx(np.std(values, ddof=1) / 2)


def test_the_difference_is_paired():
    a, b = Estimate.mean([10.0, 20.0, 30.0]), Estimate.mean([9.0, 18.5, 29.5])
    difference = a - b  # 1, 1.5, 0.5: mean 1, standard deviation 0.5
    assert difference.value == pytest.approx(1.0)
    assert difference.standard_error == pytest.approx(0.5 / math.sqrt(3))
    assert difference.standard_error < 0.1 * a.standard_error


def test_root_mean_square():
    estimate = Estimate.root_mean_square([3.0, 4.0])
    assert estimate.value == pytest.approx(math.sqrt(12.5))
    # Without either image the other is left: (1/2) ((3 - 3.5)^2 + (4 - 3.5)^2) = 0.25.
    assert estimate.standard_error == pytest.approx(0.5)


def test_its_error_is_honest():
    rng = np.random.default_rng(0)
    estimates = [
        Estimate.root_mean_square((1 + 0.2 * rng.standard_normal(30)).tolist()) for _ in range(400)
    ]
    spread = np.std([e.value for e in estimates])
    # 400 draws know a spread to 4 %; three times that.
    assert np.mean([e.standard_error for e in estimates]) == pytest.approx(spread, rel=0.12)


def test_one_image_has_no_error_and_json_gets_none():
    card = Estimate.mean([2.0]).card()
    assert card == {"value": 2.0, "standard_error": None, "images": 1}
    assert finite(math.inf) is None


@pytest.mark.parametrize("count", [1, 7, 20, 33])
def test_groups_part_the_images(count):
    parted = groups(count)
    assert sorted(i for group in parted for i in group) == list(range(count))
    assert len(parted) == min(count, 20)
    assert max(map(len, parted)) - min(map(len, parted)) <= 1


def test_methods_with_other_groups_are_not_subtracted():
    with pytest.raises(ValueError):
        Estimate.mean([1.0, 2.0]) - Estimate.mean([1.0, 2.0, 3.0])
