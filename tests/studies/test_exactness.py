import json

import pytest

from deft.errors import CheckpointError, WeightsNotFinite
from deft.htransforms.base import NoConditioning
from deft.htransforms.exact import Exact
from deft.paths import simulate, weigh
from deft.posterior import Posterior
from deft.samplers.ddim import DDIM
from deft.studies import exactness
from deft.studies.exactness import path_weights
from deft.studies.method import Method
from tests.closed_form import measured, mixture


def found(method, folder, n=2, paths=16, **more):
    prior = mixture()
    return path_weights(prior, measured(prior, n=n, **more), method, folder, paths, [5, 9], 100)


def test_it_says_how_exact_an_h_transform_is(tmp_path):
    prior, sampler = mixture(), DDIM(40, eta=1.0)
    exact = found(Method("exact", Exact(prior), sampler), tmp_path)
    none = found(Method("none", NoConditioning(), sampler), tmp_path)
    assert min(card["effective_sample_size"] for card in exact["cards"]) > 2 * max(
        card["effective_sample_size"] for card in none["cards"]
    )
    posterior = Posterior(prior, Exact(prior), measured(prior, n=2))
    together = weigh(simulate(posterior, sampler, 16, seed=[5, 9]), posterior).card()
    for one, other in zip(exact["cards"], together):
        assert one["log_evidence"] == pytest.approx(other["log_evidence"], abs=1e-8)


def test_what_is_finished_is_kept(tmp_path, monkeypatch):
    method = Method("none", NoConditioning(), DDIM(4, eta=1.0))
    first = found(method, tmp_path)
    path = tmp_path / "parts" / "none" / "paths-16.json"
    path.write_text(json.dumps(first["cards"][:1]))
    calls = []
    monkeypatch.setattr(
        exactness, "simulate", lambda *a, **k: calls.append(k["seed"]) or simulate(*a, **k)
    )
    assert found(method, tmp_path) == first
    assert calls == [[9]]


@pytest.mark.parametrize(
    ("method", "more", "reason"),
    [
        (Method("a", None, DDIM(4, eta=1.0)), {}, "does not see the measurement"),
        (Method("a", NoConditioning(), DDIM(4)), {}, "eta = 0"),
        (Method("a", NoConditioning(), DDIM(4, eta=1.0)), {"sigma_y": 0.0}, "sigma_y = 0"),
    ],
)
def test_where_there_are_none_it_says_why(method, more, reason, tmp_path):
    answer = found(method, tmp_path, **more)
    assert answer["cards"] == []
    assert reason in answer["reason"]


def test_weights_that_are_not_finite_are_a_reason(tmp_path, monkeypatch):
    def broken(path, posterior, **more):
        raise WeightsNotFinite("not finite at step 3 of 4")

    monkeypatch.setattr(exactness, "weigh", broken)
    answer = found(Method("a", NoConditioning(), DDIM(4, eta=1.0)), tmp_path)
    assert answer["reason"] == "not finite at step 3 of 4"


@pytest.mark.parametrize("content", ["", "[{", "{}", "[1]"])
def test_a_damaged_file_is_named(tmp_path, content):
    method = Method("none", NoConditioning(), DDIM(4, eta=1.0))
    found(method, tmp_path)
    (tmp_path / "parts" / "none" / "paths-16.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"paths-16\.json"):
        found(method, tmp_path)
