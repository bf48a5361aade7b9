import json
import math

import pytest

from deft.errors import InvalidInput
from deft.samplers.dpm_solver import DPMSolver
from deft.samplers.grids import LogSNRCurve, UniformLogSNR
from deft.studies.tune_grid import tune_grid
from tests.closed_form import mixture


def bowl(*best):
    return lambda grid: sum((a - b) ** 2 for a, b in zip(grid.values, best))


def test_the_best_log_snrs_are_found():
    seen = []
    tuned = tune_grid(
        bowl(-3.2, 0.4, 5.1),
        [-6.0, 0.0, 8.0],
        metric="mse",
        on_value=lambda values, score: seen.append(values),
    )
    assert tuned.values == pytest.approx([-3.2, 0.4, 5.1], abs=0.13)
    assert len(seen) == len(set(seen)) == len(tuned.table)
    assert tuned.score == min(score for _, score in tuned.table)
    assert tuned.grid().values == tuned.values


def test_log_snrs_stay_apart_and_within_bounds():
    tuned = tune_grid(bowl(3.0, 3.0, 30.0), [-6.0, 0.0, 8.0], metric="mse", bounds=(-8, 9))
    assert tuned.values[0] < tuned.values[1]
    assert tuned.values[2] == 9
    for values, _ in tuned.table:
        assert list(values) == sorted(values)
        assert values[0] >= -8
        assert values[-1] <= 9


def test_what_is_not_finite_is_the_worst():
    score = bowl(1.0)
    tuned = tune_grid(lambda g: math.nan if g.values[0] > 0 else score(g), [-3.0], metric="mse")
    assert -0.3 <= tuned.values[0] <= 0
    with pytest.raises(InvalidInput, match="gave a finite mse"):
        tune_grid(lambda g: math.nan, [0.0], metric="mse")


def test_wrong_requests_are_refused():
    for start in ([], [1.0, 0.0], [0.0, 99.0]):
        with pytest.raises(InvalidInput):
            tune_grid(bowl(0.0), start, metric="mse")
    with pytest.raises(InvalidInput, match="move"):
        tune_grid(bowl(0.0), [0.0], metric="mse", move=0)


def test_a_learned_grid_is_nearer_to_the_flow_than_an_even_one():
    prior = mixture()
    truth = DPMSolver(200)(prior, 64, seed=1)

    def distance(grid):
        return float((DPMSolver(5, grid)(prior, 64, seed=1) - truth).square().mean().sqrt())

    even = prior.schedule.log_snr(UniformLogSNR(8.0).times(prior.schedule, 5))[1:].tolist()
    tuned = tune_grid(distance, even, metric="distance", least=0.5)
    assert tuned.table[0] == (tuple(even), distance(LogSNRCurve(even)))
    assert tuned.score < 0.7 * tuned.table[0][1]
    card = json.loads(json.dumps(tuned.card()))
    assert card["grid"] == {"class": "LogSNRCurve", "args": {"values": list(tuned.values)}}
    assert card["runs"] == len(tuned.table)
