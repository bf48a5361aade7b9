"""Intervals of pixels: their classes, the factor that each takes, and the card."""

import json
import math

import pytest
import torch

from deft.errors import InvalidInput
from deft.metrics.conformal import by_deviation, factor, usual
from deft.metrics.intervals import (
    CARD,
    CLASSES,
    PIXELS,
    Intervals,
    Origin,
    calibrate,
    classes,
)

ORIGIN = Origin(0.9, 60, 60, "image", "hash", {"class": "DDIM", "steps": 2}, {}, 1e-4, 0.3)


def drawn(images: int = 60, shrunk: float = 1.0, seed: int = 0):
    """Samples and truths of 1 x 4 x 4 pixels, the upper half unseen and four times as wide, and one
    corner that hardly varies.
    """
    draw = torch.Generator().manual_seed(seed)
    spread = torch.ones(1, 4, 4)
    spread[:, :2] = 4.0
    spread[:, 3, 3] = 0.01
    mean = torch.randn(images, 1, 1, 4, 4, generator=draw)
    x = mean + shrunk * spread * torch.randn(images, 6, 1, 4, 4, generator=draw)
    truth = mean[:, 0] + spread * torch.randn(images, 1, 4, 4, generator=draw)
    seen = torch.ones(images, 1, 4, 4)
    seen[:, :, :2] = 0.0
    return x, truth, seen


def test_every_pixel_is_of_one_class():
    x, _, seen = drawn()
    seen[:, :, 2] = 0.5
    found = classes(x, seen, 0.3)
    assert torch.equal(
        torch.stack([found[name] for name in PIXELS]).sum(0), torch.ones(60, 1, 4, 4)
    )
    assert bool(found["unseen"][:, :, :2].all())
    assert bool(found["partly seen"][:, :, 2].any())
    assert bool(found["certain"][:, :, 3, 3].all())
    assert torch.equal(found["uncertain"], ~found["certain"])


def test_the_class_does_not_look_at_the_truth_and_takes_its_own_factor():
    x, truth, seen = drawn(shrunk=0.5)
    found = calibrate(x, truth, seen, ORIGIN)
    bands, where = by_deviation(x, ORIGIN.floor), classes(x, seen, ORIGIN.threshold)
    for name in ("unseen", "seen", "certain"):
        assert found.factor(name, 6) == factor(bands.scores(truth), 0.9, where=where[name])
    low, high = found.pixels(x, seen)
    q = (high - low) / (2 * bands.unit)
    assert torch.allclose(q[where["unseen"]], torch.tensor(found.factor("unseen", 6)), rtol=1e-3)
    assert found.factor("unseen", 6) == pytest.approx(2 * usual(0.9, 6), rel=0.15)


def test_there_is_a_factor_for_fewer_samples_and_more_are_cut():
    x, truth, seen = drawn()
    found = calibrate(x, truth, seen, ORIGIN)
    assert found.samples == 6
    assert found.factor("seen", 2) == factor(
        by_deviation(x[:, :2], 1e-4).scores(truth),
        0.9,
        where=classes(x[:, :2], seen, 0.3)["seen"],
    )
    assert found.factor("seen", 2) > found.factor("seen", 6)
    more = torch.cat([x, x + 9], dim=1)
    assert torch.equal(found.pixels(more, seen)[0], found.pixels(x, seen)[0])


def test_a_class_that_few_images_have_has_no_interval():
    x, truth, seen = drawn()
    seen[:5, :, 3] = 0.5
    found = calibrate(x, truth, seen, ORIGIN)
    assert found.counts[CLASSES.index("partly seen")] == 5
    assert found.factor("partly seen", 6) is None
    low, _ = found.pixels(x, seen)
    assert torch.equal(low.isnan(), classes(x, seen, 0.3)["partly seen"])
    assert "none" in found.table()


def test_without_calibration_they_are_those_of_a_gaussian():
    x, truth, seen = drawn(4000)
    low, high = calibrate(x[:60], truth[:60], seen[:60], ORIGIN).pixels(x, seen, calibrated=False)
    assert float(((low <= truth) & (truth <= high)).double().mean()) == pytest.approx(0.9, abs=0.01)


def test_a_functional_has_the_split_conformal_factor_in_its_own_unit():
    x, truth, seen = drawn(200, shrunk=0.5)
    w = torch.randn(3, 1, 4, 4, generator=torch.Generator().manual_seed(2)) * 7
    found = calibrate(x[:100], truth[:100], seen[:100], ORIGIN, weights=w)
    target = truth.flatten(1) @ w.flatten(1).T
    mean, low, high = found.of_functionals(x, w)
    assert torch.allclose(mean, x.flatten(2).mean(1) @ w.flatten(1).T, atol=1e-3)
    inside = ((low <= target) & (target <= high)).double()
    held = math.ceil(101 * 0.9)  # of the calibration images, exactly
    assert inside[:100].sum(0).tolist() == pytest.approx([held] * 3, abs=1)
    assert float(inside[100:].mean()) == pytest.approx(0.9, abs=0.1)
    assert found.knows(w)
    assert not found.knows(w + 1)
    assert not found.knows(w[:2])
    with pytest.raises(InvalidInput):
        found.of_functionals(x, w + 1)


def test_the_card_comes_back():
    x, truth, seen = drawn()
    found = calibrate(x, truth, seen, ORIGIN, weights=torch.ones(2, 1, 4, 4))
    card = json.loads(json.dumps(found.card()))
    CARD.check("conformal", card)
    assert Intervals.of({"conformal": card}) == found
    assert Intervals.of({}) is None
    assert Intervals.of(None) is None
    assert "not for this one" in found.table()


def test_a_wrong_card_is_refused():
    x, truth, seen = drawn()
    card = calibrate(x, truth, seen, ORIGIN).card()
    for name, value in {
        "level": 2,
        "floor": 0,
        "unit": "planet",
        "factors": [[1.0]],
        "counts": [-1] * len(CLASSES),
        "more": 1,
    }.items():
        assert not CARD.fits({**card, name: value}), name
