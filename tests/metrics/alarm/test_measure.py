"""The reference, drawn by a sampler."""

import pytest
import torch

from deft.errors import InvalidInput
from deft.htransforms.exact import Exact
from deft.metrics.alarm import measure, reference
from deft.noise import Noise
from deft.operators.matrix import Matrix
from deft.problems.own import Fixed
from deft.samplers.dpm_solver import DPMSolver
from tests.metrics.alarm.smooth import SIGMA_Y, blur, measured, posterior_samples, prior, signals


def made(**more):
    own, problem = prior(), Fixed(Matrix(blur()[None]), SIGMA_Y)
    given = {"sampler_card": {"class": "DPMSolver"}, "num_samples": 2, "noise_images": 2} | more
    return reference(own, Exact(own), problem, signals(5, 1), DPMSolver(4), **given)


def test_it_has_a_table_for_each_number_of_samples_and_a_curve_of_the_noise():
    found = made()
    assert found.values.shape == (2, 5, 16)
    assert found.samples == (1, 2)
    assert found.noise is not None
    assert found.noise["factor"] == [0.5, 1.0, 2.0, 4.0]
    for curve in found.noise["shared"]:
        assert curve == sorted(curve)
    assert made(noise_images=0).noise is None


def test_it_depends_on_nothing_but_its_seed():
    assert torch.allclose(made().values, made(batch_size=3).values)
    assert not torch.allclose(made().values, made(seed=1).values)


def test_what_draws_may_be_given():
    asked = []

    def draw(name, observation, seeds):
        asked.append((name, len(observation), len(seeds)))
        return posterior_samples(observation, 2, 0)

    found = made(draw=draw)
    assert found.images == 5
    assert asked == [("as told", 5, 5)] + [(f"noise x {c}", 2, 2) for c in ("0.5", "2", "4")]


def test_parts_do_not_matter():
    observed = measured(signals(3, 4), 5)
    drawn = posterior_samples(observed, 4, 6)
    whole = measure(prior(), observed, drawn, (2, 4))
    assert torch.allclose(measure(prior(), observed, drawn, (2, 4), batch_size=3), whole)
    assert torch.allclose(
        measure(prior(), observed.take([1]), drawn[[1]], (2, 4))[:, 0], whole[:, 1]
    )
    assert measure(prior(), observed.take([]), drawn[:0], (2,)).shape == (1, 0, 16)


def test_noise_seeds_of_a_reference_are_its_own():
    """An answer with the same seed draws other noise than the reference."""
    assert made().seed == 0
    x = signals(1, 1)
    problem = Fixed(Matrix(blur()[None]), SIGMA_Y)
    from deft.metrics.alarm.measure import SEEDS

    assert not {4, 5, 6} & set(SEEDS)
    assert problem.draw(x, Noise([0], dtype=torch.float64)).y.shape == (1, 48)


def test_a_label_has_no_residual():
    observed = measured(signals(1, 1), 2)

    class Label(type(observed.likelihood).__mro__[1]):
        def __init__(self):
            super().__init__()
            self.operator, self.sigma_y = observed.operator, torch.ones(1)

        log_prob = sample = guidance = take = None

    Label.__abstractmethods__ = frozenset()
    object.__setattr__(observed, "likelihood", Label())
    with pytest.raises(InvalidInput) as said:
        measure(prior(), observed, signals(2, 3)[None], (2,))
    assert said.value.given == "Label"
