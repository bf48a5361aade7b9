from dataclasses import replace

import pytest

from deft.errors import InvalidInput
from deft.training.plan import MOST_STEPS, Plan, draws_for, interval_for, long

PLAN = Plan(
    steps=100,
    batch_size=6,
    accumulate=2,
    processes=1,
    learning_rate=1e-3,
    warmup=10,
    weight_decay=0.0,
    clip=1.0,
    ema=0.999,
    precision="fp32",
    validate_every=10,
    validation_draws=0,
    patience=None,
    seed=0,
    save_every=10,
    log_every=10,
)


def test_learning_rate_is_a_function_of_the_step():
    rates = [PLAN.learning_rate_at(k) for k in range(100)]
    assert rates[0] == pytest.approx(1e-4)
    assert max(rates) == pytest.approx(1e-3)
    assert rates[10] == 1e-3
    assert rates[-1] < 1e-6
    assert rates[55] == pytest.approx(5e-4)


def test_a_schedule_that_begins_again():
    again = replace(PLAN, steps=200, begun=100)
    assert [again.learning_rate_at(100 + k) for k in range(5)] == pytest.approx(
        [1e-3 * (k + 1) / 5 for k in range(5)]
    )  # a twentieth of what is left
    assert again.learning_rate_at(105) == 1e-3
    assert again.learning_rate_at(199) < 1e-6
    assert replace(PLAN, steps=101, begun=100).learning_rate_at(100) == 1e-3
    assert again.shared() == replace(PLAN, steps=200).shared()


@pytest.mark.parametrize(
    ("steps", "signals"), [(12, 8), (100, 4), (1000, 16), (2000, 32), (8000, 64), (1, 1)]
)
@pytest.mark.parametrize("items", [1, 50, 300, 10_000])
def test_validation_costs_a_sixth_at_most_but_for_the_one_at_the_end(steps, signals, items):
    draws = draws_for(items, steps * signals, early_stopping=False)
    every = interval_for(steps, signals, draws)
    assert 1 <= every <= steps
    before_the_end = (steps - 1) // every
    assert before_the_end * draws <= 0.16 * steps * signals
    assert before_the_end <= 10


def test_what_validation_is_by_default():
    assert [draws_for(n, 10**6, early_stopping=False) for n in (1, 300, 10**6)] == [256, 300, 512]
    assert draws_for(1, 96, early_stopping=False) == 64
    assert draws_for(1, 96, early_stopping=True) == 256
    assert interval_for(2000, 32, 512) == 200
    assert interval_for(12, 8, None) == 1


def test_how_long_is_long():
    assert long(3600.0) is None
    assert long(float("nan")) is None
    assert "20 days" in long(20 * 86_400.0)


@pytest.mark.parametrize(
    ("setting", "given"),
    [
        ({"steps": 100_000_000}, 100_000_000),
        ({"steps": MOST_STEPS + 1}, MOST_STEPS + 1),
        ({"learning_rate": float("inf")}, float("inf")),
        ({"weight_decay": -1.0}, -1.0),
        ({"weight_decay": float("inf")}, float("inf")),
        ({"warmup": -1}, -1),
    ],
)
def test_numbers_that_cannot_be_meant(setting, given):
    with pytest.raises(InvalidInput) as raised:
        replace(PLAN, **setting)
    assert raised.value.given == given
    assert raised.value.what == next(iter(setting))
    assert raised.value.expected


def test_what_a_run_that_goes_on_may_change():
    assert PLAN.signals_per_step == 12
    for same in (
        {"batch_size": 3, "accumulate": 4},
        {"batch_size": 3, "processes": 2},
        {"save_every": 1},
    ):
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
        ({"steps": 0}, "steps: got 0; expected a whole number from 1"),
        ({"log_every": -1}, "log_every: got -1; expected a whole number >= 1"),
        ({"learning_rate": 0.0}, "learning_rate: got 0.0; expected a finite number > 0"),
        ({"clip": 0.0}, "clip: got 0.0; expected a finite number > 0"),
        ({"ema": 1.0}, "ema: got 1.0"),
        ({"precision": "fp64"}, "got fp64; expected 'fp32' or 'bf16'"),
        ({"patience": 3}, "patience: got 3; .* Give a `validation` set"),
    ],
)
def test_bad_settings(setting, says):
    with pytest.raises(InvalidInput, match=says):
        replace(PLAN, **setting)
