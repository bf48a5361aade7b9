"""Calibration of intervals, on a Gaussian whose posterior is known: what holds, what is kept, and
what is refused.
"""

from dataclasses import replace

import pytest

from deft.errors import InvalidInput
from deft.htransforms.base import NoConditioning
from deft.htransforms.exact import Exact
from deft.metrics.conformal import usual
from deft.noise import Noise
from deft.problems import Denoising, Inpainting, PhaseRetrieval
from deft.samplers.ddim import DDIM
from deft.studies.conformal import calibrate, coverage_of, doubt, held
from deft.studies.evaluation import evaluate
from deft.studies.method import Method
from tests.closed_form import DOUBLE, gaussian
from tests.refusal import refused

SMALL = {"samples": 4, "level": 0.8, "progress": False}


@pytest.fixture(scope="module")
def exact():
    prior = gaussian()
    return prior, Denoising(sigma_y=0.5), Method("exact", Exact(prior), DDIM(24, eta=1.0))


def truths(prior, count: int, seed: int):
    return prior.sample(Noise(range(seed, seed + count), dtype=DOUBLE))


@pytest.fixture(scope="module")
def calibrated(exact, tmp_path_factory):
    prior, problem, method = exact
    out = tmp_path_factory.mktemp("calibration")
    return calibrate(prior, problem, truths(prior, 150, 0), method, out=out, **SMALL), out


def test_of_an_exact_posterior_factors_are_those_of_a_gaussian(calibrated):
    found, _ = calibrated
    assert found.about.images == found.about.units == 150
    for name in ("seen", "uncertain", "functionals"):
        assert found.factor(name, 4) == pytest.approx(usual(0.8, 4), rel=0.2)


def test_on_other_signals_they_hold(exact, calibrated):
    prior, problem, method = exact
    truth = truths(prior, 200, 1000)
    observed = problem.draw(truth, Noise(range(200), dtype=DOUBLE))
    x = method.samples(prior, observed, 4, seed=list(range(200))).x_0
    rows = held(calibrated[0], x, truth, coverage_of(observed, truth).expand_as(truth[:, :1]))
    for name in ("seen", "functionals"):
        for when in ("before", "after"):
            at = rows[name][when]["coverage"]
            assert at["value"] == pytest.approx(0.8, abs=4 * 2**0.5 * at["standard_error"])


def test_it_goes_on_and_another_level_draws_nothing(exact, calibrated):
    prior, problem, method = exact
    first, out = calibrated
    parts = sorted((out / "parts").rglob("*.npz"))
    times = [part.stat().st_mtime_ns for part in parts]
    wider = calibrate(
        prior, problem, truths(prior, 150, 0), method, out=out, **{**SMALL, "level": 0.95}
    )
    assert [part.stat().st_mtime_ns for part in parts] == times
    assert wider.factor("seen", 4) > first.factor("seen", 4)
    with pytest.raises(InvalidInput, match="seed"):
        calibrate(prior, problem, truths(prior, 150, 0), method, out=out, seed=1, **SMALL)


def test_where_they_do_not_hold_is_said(exact, calibrated):
    _, problem, method = exact
    found, _ = calibrated
    assert doubt(found, method, problem, 4) is None
    assert doubt(found, method, problem, 8) is None
    assert "two samples" in doubt(found, method, problem, 1)
    other = replace(method, sampler=DDIM(12, eta=1.0))
    assert doubt(found, other, problem, 4) == "they were calibrated for DDIM(steps=24)"
    assert "sigma_y" in doubt(found, method, Denoising(sigma_y=0.6), 4)


def test_too_few_are_refused_before_anything_is_drawn(exact, tmp_path):
    prior, problem, method = exact

    def run(count: int, **options: object):
        given = {**SMALL, "level": 0.9, **options}
        return calibrate(prior, problem, truths(prior, count, 0), method, out=tmp_path, **given)

    refused(lambda: run(8), "8 images", "at least 9, for intervals of 90 %", "a lower level")
    two = {"units": ["a", "b"] * 6, "unit": "patient"}
    refused(lambda: run(12, **two), "2 patients", "at least 9")
    refused(lambda: run(12, samples=1), 1, "at least 2")
    refused(lambda: run(12, threshold=1.5), 1.5, "the share of the range")
    refused(lambda: run(12, level=1.0), 1.0, "between 0 and 1")
    assert not list(tmp_path.iterdir())


def test_patients_are_the_units(exact, tmp_path):
    prior, problem, method = exact
    names = [f"p{k % 5}" for k in range(20)]
    found = calibrate(
        prior,
        problem,
        truths(prior, 20, 0),
        method,
        out=tmp_path,
        units=names,
        unit="patient",
        **SMALL,
    )
    assert (found.about.units, found.about.images) == (5, 20)
    assert "of 5 patients" in found.table()


def test_a_measurement_with_symmetries_is_refused(prior, images, tmp_path):
    method = Method("prior", NoConditioning(), DDIM(2))
    with pytest.raises(InvalidInput, match="blind to"):
        calibrate(prior, PhaseRetrieval(relative_noise=0.1), images, method, out=tmp_path, **SMALL)


def test_an_evaluation_says_what_held(prior, h_transform, images, tmp_path, recwarn):
    problem, method = Inpainting(sigma_y=0.05), Method("DEFT", h_transform, DDIM(2))
    found = calibrate(prior, problem, images, method, out=tmp_path / "c", threshold=0.001, **SMALL)
    methods = [
        replace(method, intervals=found),
        replace(method, label="other", sampler=DDIM(3), intervals=found),
        replace(method, label="none"),
    ]

    def run(place: str, x, **options: object):
        return evaluate(
            prior, problem, x, methods, out=tmp_path / place, samples=4, progress=False, **options
        )["methods"]

    rows = run("e", images.flip(3))
    kinds = rows[0]["intervals"]["classes"]
    assert kinds["unseen"]["after"]["coverage"]["images"] == 5
    assert kinds["uncertain"]["before"]["factor"] == pytest.approx(usual(0.8, 4))
    assert "DDIM(steps=2)" in rows[1]["intervals"]["why"]
    assert "intervals" not in rows[2]
    assert (tmp_path / "e" / "intervals" / "deft.npz").exists()
    assert not any("very images" in str(one.message) for one in recwarn)
    run("same", images)
    assert any("very images" in str(one.message) for one in recwarn)
    assert "clipped" in run("clipped", images, clip=True)[0]["intervals"]["why"]
