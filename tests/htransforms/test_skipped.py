"""An h-transform that is left out at some noise levels."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from deft.errors import InvalidInput
from deft.htransforms.skipped import Skipped
from deft.noise import Noise
from deft.problems import Denoising
from tests.training import small


def bins(*useful: float) -> list[dict[str, float]]:
    return [
        {"low": 2.0 * k - 4, "high": 2.0 * k - 2, "count": 9, "loss": 1 - u, "without": 1.0}
        for k, u in enumerate(useful)
    ]


def point(*log_snr: float):
    prior = small.prior()
    x_t = Noise(range(len(log_snr))).normal(0, prior.event_shape)
    t = prior.schedule.time(torch.tensor(log_snr))
    observation = Denoising(sigma_y=0.1).draw(x_t, Noise(range(len(log_snr))))
    return prior.at(x_t, t), observation


def test_inside_it_is_h_and_outside_nothing():
    h = small.h_transform()
    denoised, observation = point(-3.0, 1.0, 5.0)
    whole, found = h.shift(denoised, observation), Skipped(h, -1, 3).shift(denoised, observation)
    assert torch.equal(found[1], whole[1])
    assert found[[0, 2]].abs().max() == 0
    assert whole.abs().amin((1, 2, 3)).max() > 0 or whole.abs().max() > 0
    assert torch.equal(Skipped(h).shift(denoised, observation), whole)


def test_outside_it_is_not_evaluated():
    h, calls = small.h_transform(), []
    h.nn1.register_forward_hook(lambda *_: calls.append(1))
    skipped = Skipped(h, high=3.0)
    skipped.shift(*point(5.0, 6.0))
    assert calls == []
    skipped.shift(*point(1.0, 6.0))
    assert calls == [1]


@given(st.lists(st.floats(0, 0.99), min_size=1, max_size=8), st.floats(0.001, 0.9))
def test_by_validation_it_is_kept_wherever_it_takes_off_enough(useful, least):
    if max(useful) < least + 1e-9:
        return
    found = Skipped.by_validation(small.h_transform(), bins(*useful), least)
    for one in bins(*useful):
        middle = (one["low"] + one["high"]) / 2
        kept = (found.low is None or middle >= found.low) and (
            found.high is None or middle < found.high
        )
        assert kept or 1 - one["loss"] < least + 1e-9


def test_the_ends_are_cut():
    found = Skipped.by_validation(small.h_transform(), bins(0.01, 0.5, 0.0, 0.4, 0.02), 0.05)
    assert (found.low, found.high) == (-2.0, 4.0)
    found = Skipped.by_validation(small.h_transform(), bins(0.5, 0.01), 0.05)
    assert (found.low, found.high) == (None, -2.0)


def test_what_it_refuses():
    h = small.h_transform()
    for wrong in ([], bins(0.0, 0.01)):
        with pytest.raises(InvalidInput, match="skip_h"):
            Skipped.by_validation(h, wrong, 0.1)
    with pytest.raises(InvalidInput, match="skip_h"):
        Skipped.by_validation(h, bins(0.5), 1.5)
    with pytest.raises(InvalidInput, match="low, high"):
        Skipped(h, 3.0, -1.0)
    with pytest.raises(InvalidInput, match="low"):
        Skipped(h, float("nan"))
