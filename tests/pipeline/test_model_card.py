"""The model card: what its own card says, and nothing that a stranger's text could smuggle in."""

import pytest
import yaml

from deft.metrics.intervals import CLASSES
from deft.pipeline.model_card import text

CARD = {
    "prior_from": "owner/name",
    "prior": {"hash": "abc", "event_shape": [1, 8, 8]},
    "architecture": {"class": "LearnedHTransform", "args": {}},
    "problem": {"class": "SuperResolution", "args": {"factor": 4, "sigma_y": 0.05}},
}


def header(card, **options):
    found = text(card, **options)
    assert found.startswith("---\n")
    assert found.count("\n---\n") == 1
    return yaml.safe_load(found.split("---\n")[1]), found


def test_the_least_card():
    head, found = header(CARD)
    assert head["base_model"] == "owner/name"
    assert "license" not in head
    for part in ("SuperResolution(factor=4, sigma_y=0.05)", "`abc`", "none was validated", "1 x 8"):
        assert part in found
    for part in ("mask=", "## Alarm", "## Calibrated", "## How well", "![", "None"):
        assert part not in found


def test_guidance_that_was_distilled_is_said():
    assert "distilled" not in text(CARD)
    prior = {**CARD["prior"], "guidance_distilled": True}
    assert "no mean of x_0 under a density" in text({**CARD, "prior": prior})


def test_all_that_a_card_may_say():
    factors = [[None, 1.5, 2.0, 2.0, 2.0, 1.9]]
    about = {
        "level": 0.9,
        "images": 30,
        "units": 30,
        "unit": "image",
        "data": "x",
        "sampler": {},
        "problem": {},
        "floor": 0.001,
        "threshold": 0.05,
        "counts": [30] * len(CLASSES),
        "factors": factors,
    }
    card = {
        **CARD,
        "sampler": {
            "made": {"class": "DPMSolver", "args": {"steps": 20}},
            "images": 4,
            "misfit": 1.01,
            "psnr": 20.5,
        },
        "units": {"value_range": [-1.0, 1.0], "window": [-1000, 1500]},
        "metrics": {
            "loss": 0.1,
            "without": 0.5,
            "bins": [{"low": -2.0, "high": 0.0, "count": 3, "loss": 0.2, "without": 0.4}],
        },
        "training": {"steps": 100, "recipe": "r.py"},
        "conformal": about,
        "alarm": {"images": 64, "samples": [2, 8]},
        "published": {"license": "mit", "prior_license": "cc0-1.0", "prior_revision": "v1"},
    }
    head, found = header(card, sheet="samples.png")
    assert head["license"] == "mit"
    for part in (
        "DPMSolver(steps=20)",
        "4 held-out images | 1.01",
        "20.5",
        "[-1000, 1500]",
        "| -2 to 0 | 0.2 | 0.4 |",
        "steps 100",
        "90 % intervals, calibrated on 30 images",
        "64 held-out images",
        "at least 2 samples",
        "`v1`",
        "h-transform: `mit`",
        "prior: `cc0-1.0`",
        "![samples](samples.png)",
    ):
        assert part in found


@pytest.mark.parametrize(
    "bad", ["` ![x](http://x) `", "a\n---\nlicense: mit", "a|b", "</td><script>", "\x1b[31m"]
)
def test_texts_of_strangers_stay_texts(bad):
    card = {
        **CARD,
        "prior_from": bad,
        "prior": {**CARD["prior"], "hash": bad},
        "published": {"prior_revision": bad, "prior_license": bad},
        "training": {"recipe": bad},
    }
    head, found = header(card)
    assert "base_model" not in head
    assert "license" not in head
    body = found.split("---\n", 2)[2]
    outside = "".join(body.split("```")[::2]).split("`")[::2]  # what is no code
    assert not any(part in piece for piece in outside for part in ("![", "<", "license:", "\x1b"))
    rows = [line for line in body.splitlines() if line.startswith("| ")]
    assert {line.count("|") for line in rows} == {3}
