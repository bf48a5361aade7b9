from dataclasses import replace

import pytest

from deft.errors import InvalidInput
from deft.training.plan import Plan

PLAN = Plan(
    steps=100, batch_size=6, accumulate=2, processes=1, learning_rate=1e-3, warmup=10, weight_decay=0.0, clip=1.0, ema=0.999, precision="fp32",
    validate_every=10, validation_draws=0, patience=None, seed=0, save_every=10, log_every=10,
)  # fmt: skip


def test_learning_rate_is_a_function_of_the_step():
    rates = [PLAN.learning_rate_at(k) for k in range(100)]
    assert rates[0] == pytest.approx(1e-4)
    assert max(rates) == pytest.approx(1e-3)
    assert rates[10] == 1e-3
    assert rates[-1] < 1e-6
    assert rates[55] == pytest.approx(5e-4)


def test_what_a_run_that_goes_on_may_change():
    assert PLAN.signals_per_step == 12
    for same in ({"batch_size": 3, "accumulate": 4}, {"batch_size": 3, "processes": 2}, {"save_every": 1}):
        assert replace(PLAN, **same).shared() == PLAN.shared()
    for other in ({"batch_size": 3}, {"seed": 1}, {"steps": 101}, {"ema": 0.9}):
        assert replace(PLAN, **other).shared() != PLAN.shared()


def test_with_less_memory_it_is_the_same_run():
    assert "batch_size=3, accumulate=4" in PLAN.with_less_memory()
    assert replace(PLAN, batch_size=3, accumulate=4).shared() == PLAN.shared()
    assert "batch_size=2, accumulate=5" in replace(PLAN, batch_size=5).with_less_memory()
    assert "one signal is the least" in replace(PLAN, batch_size=1).with_less_memory()


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ({"steps": 0}, "steps must be at least 1; got 0"),
        ({"log_every": -1}, "log_every must be at least 1; got -1"),
        ({"learning_rate": 0.0}, "learning_rate > 0"),
        ({"clip": 0.0}, "clip > 0 or None"),
        ({"ema": 1.0}, "0 <= ema < 1"),
        ({"precision": "fp64"}, "'fp32' or 'bf16'; got 'fp64'"),
        ({"patience": 3}, "give patience >= 1 and a `validation`"),
    ],
)
def test_bad_settings(setting, says):
    with pytest.raises(InvalidInput, match=says):
        replace(PLAN, **setting)
