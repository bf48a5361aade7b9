"""Verdicts of a method: where there are none it is said why; the pass goes on from its parts."""

import pytest
import torch

from deft.errors import CheckpointError, InvalidInput
from deft.htransforms.exact import Exact
from deft.metrics.alarm import reference
from deft.operators.matrix import Matrix
from deft.problems.own import Fixed
from deft.samplers.dpm_solver import DPMSolver
from deft.studies.alarm import NONE, alarms, measured, reference_on, verdicts, why_none
from deft.studies.method import Method, describe
from deft.studies.parts import Part
from tests.metrics.alarm import smooth

SAMPLER = DPMSolver(3)


def method(card=None):
    return Method("exact", Exact(smooth.prior()), SAMPLER, learned=card)


def problem():
    return Fixed(Matrix(smooth.blur()[None]), smooth.SIGMA_Y)


@pytest.fixture(scope="module")
def known():
    return reference(
        smooth.prior(),
        Exact(smooth.prior()),
        problem(),
        smooth.signals(20, 1),
        SAMPLER,
        sampler_card=describe(SAMPLER),
        num_samples=2,
        noise_images=2,
    )


@pytest.fixture(scope="module")
def card(known):
    return {"alarm": known.card(), "problem": {"args": {"sigma_y": smooth.SIGMA_Y}}}


def test_it_says_why_there_is_no_verdict(card):
    observed = smooth.measured(smooth.signals(2, 5), 6)
    assert why_none(card, method(), observed, 2) == ""
    assert why_none({}, method(), observed, 2) == NONE
    other = Method("exact", Exact(smooth.prior()), DPMSolver(4))
    assert "another sampler" in why_none(card, other, observed, 2)
    louder = smooth.measured(smooth.signals(2, 5), 6, told=0.6)
    assert "sigma_y = 0.3" in why_none(card, method(), louder, 2)
    later = {"alarm": {**card["alarm"], "samples": [2], "values": card["alarm"]["values"][1:]}}
    later["alarm"]["noise"] = None
    assert "2 samples" in why_none(later, method(), observed, 1)
    assert reference_on(None) is None


def test_verdicts_of_what_is_as_told_and_what_is_not(card):
    for factor, expected in ((1.0, "fits"), (4.0, "doubtful")):
        observed = smooth.measured(smooth.signals(3, 50), 60, sigma_y=factor * smooth.SIGMA_Y)
        drawn = method().samples(smooth.prior(), observed, 2, seed=[7, 8, 9]).x_0
        levels = [v.level for v in verdicts(card, smooth.prior(), observed, drawn)]
        assert levels.count(expected) >= 2
    with pytest.raises(InvalidInput):
        verdicts({}, smooth.prior(), observed, drawn)


def test_the_pass_goes_on_and_equals_the_plain_one(known, tmp_path):
    given = {"samples": 2, "noise_images": 2}
    images = smooth.signals(20, 1)
    found = measured(smooth.prior(), method(), problem(), images, tmp_path, **given)
    assert torch.allclose(found.values, known.values, atol=1e-3)  # parts are in single precision
    written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.npz")}
    again = measured(smooth.prior(), method(), problem(), images, tmp_path, **given)
    assert torch.equal(again.values, found.values)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.npz")} == written
    with pytest.raises(InvalidInput):
        measured(smooth.prior(), Method("none", None, SAMPLER), problem(), images, tmp_path)


def test_alarms_are_counted_and_kept(card, tmp_path):
    observed = smooth.measured(smooth.signals(3, 50), 60)
    drawn = method().samples(smooth.prior(), observed, 2, seed=[7, 8, 9]).x_0
    given = (smooth.prior(), observed)
    parts = [Part(0, drawn, 1.0, 1, 0)]
    found = alarms(*given, method(card), parts, tmp_path, 2, 64)["alarm"]
    assert len(found) == 3
    assert set(found) <= {0.0, 100.0}
    assert alarms(*given, method(card), parts, tmp_path, 2, 64)["alarm"] == found
    assert alarms(*given, method(), parts, tmp_path, 2, 64) == {}
    (tmp_path / "parts" / "exact" / "alarms.json").write_text("[1]")
    with pytest.raises(CheckpointError):
        alarms(*given, method(card), parts, tmp_path, 2, 64)
