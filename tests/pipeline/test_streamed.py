"""Samples one by one are the same as all at once."""

import pytest
import torch

import deft
from deft.errors import InvalidInput
from deft.htransforms.exact import Exact
from deft.metrics.alarm import reference
from deft.operators.matrix import Matrix
from deft.pipeline.streamed import one_by_one
from deft.problems import Fixed
from deft.studies.method import describe
from tests.metrics.alarm import smooth
from tests.pipeline.test_answers import PROBLEM, pipe, signals


def observed(n=2):
    return PROBLEM.draw(signals(n), deft.Noise(range(n)))


def test_they_are_those_of_one_call():
    every = list(one_by_one(pipe(), observed(), 5, seed=3))
    whole = pipe()(observed(), num_samples=5, seed=3)
    assert [answers.shape[1] for answers in every] == [1, 2, 3, 4, 5]
    for k, answers in enumerate(every):
        torch.testing.assert_close(answers.samples, whole.samples[:, : k + 1], rtol=0, atol=1e-5)
    assert every[-1].verdicts[1].misfit == pytest.approx(whole.verdicts[1].misfit, abs=1e-5)
    assert every[-1].notes == whole.notes


def test_other_steps_and_other_seeds():
    (answers,) = one_by_one(pipe(), observed(), 1, steps=7, seed=4)
    whole = pipe()(observed(), num_samples=1, steps=7, seed=4)
    torch.testing.assert_close(answers.samples, whole.samples, rtol=0, atol=1e-5)
    (other,) = one_by_one(pipe(), observed(), 1, steps=7, seed=5)
    assert not torch.allclose(other.samples, whole.samples, atol=0.1)


def test_the_verdict_of_all_comes_with_the_last():
    problem = Fixed(Matrix(smooth.blur()[None]), smooth.SIGMA_Y)
    exact, by = Exact(smooth.prior()), deft.DPMSolver(3)
    known = reference(
        smooth.prior(),
        exact,
        problem,
        smooth.signals(20, 1),
        by,
        sampler_card=describe(by),
        num_samples=2,
        noise_images=2,
    )
    one = deft.DeftPipeline(exact, smooth.prior(), problem, by, card={"alarm": known.card()})
    y = smooth.measured(smooth.signals(2, 5), 6)
    first, last = one_by_one(one, y, 2)
    assert not first.notes
    assert [verdict.alarm for verdict in first.verdicts] == [None, None]
    assert [v.alarm.p for v in last.verdicts] == [
        pytest.approx(v.alarm.p) for v in one(y, num_samples=2).verdicts
    ]


def test_every_step_is_seen_and_may_stop_it():
    seen = []

    class Stop(Exception):
        pass

    def look(state):
        seen.append(state.step)
        if len(seen) == 9:
            raise Stop

    drawing = one_by_one(pipe(), observed(1), 4, steps=6, on_step=look)
    next(drawing)
    with pytest.raises(Stop):
        next(drawing)
    assert seen[:5] == [1, 2, 3, 4, 5]


def test_nothing_wrong_is_drawn():
    with pytest.raises(InvalidInput) as raised:
        next(one_by_one(pipe(), observed(), 0))
    assert raised.value.what == "num_samples"
