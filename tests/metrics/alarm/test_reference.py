"""The alarm on Gaussians: false alarms as promised, power as derived, words, and its table."""

from __future__ import annotations

import math

import pytest
import torch

from deft.errors import InvalidInput
from deft.metrics.alarm import Reference, measure
from deft.metrics.alarm.reference import counts_up_to
from tests.metrics.alarm.smooth import (
    DOUBLE,
    PLACES,
    SIGMA_Y,
    blur,
    covariance,
    measured,
    posterior_samples,
    prior,
    signals,
)

SAMPLES, IMAGES = 4, 99


def rows(x, seed, **how):
    observed = measured(x, seed, **how)
    drawn = posterior_samples(observed, SAMPLES, seed)
    return measure(prior(), observed, drawn, counts_up_to(SAMPLES))


@pytest.fixture(scope="module")
def reference() -> Reference:
    values = rows(signals(IMAGES, 10_000), 20_000)
    return Reference(values, counts_up_to(SAMPLES), {"class": "exact"})


def alarms(reference: Reference, values) -> float:
    return sum(reference.judge(row, SAMPLES).alarm for row in values[-1]) / len(values[-1])


def test_false_alarms_are_as_many_as_promised(reference):
    """Over many references too: of one, the rate varies by its own 99 images."""
    n = 400
    found = alarms(reference, rows(signals(n, 30_000), 40_000))
    own = 0.05 * 0.95
    assert abs(found - 0.05) < 3 * math.sqrt(own / n + own / IMAGES)


def test_p_values_are_uniform_over_the_reference_itself(reference):
    p = reference.scores(SAMPLES)
    assert sorted(p.tolist()) == pytest.approx([(i + 1) / IMAGES for i in range(IMAGES)])


@pytest.mark.parametrize(
    ("how", "least", "word"),
    [
        ({"sigma_y": 2 * SIGMA_Y}, 0.99, "the noise is larger than told"),
        ({"sigma_y": 0.5 * SIGMA_Y}, 0.9, "the noise is smaller than told"),
        ({"true": blur(4.0)}, 0.0, ""),
        ({"true": 1.6 * blur()}, 0.3, ""),
    ],
)
def test_mismatch_is_found(reference, how, least, word):
    values = rows(signals(60, 50_000), 60_000, **how)
    verdicts = [reference.judge(row, SAMPLES) for row in values[-1]]
    assert sum(v.alarm for v in verdicts) >= least * len(verdicts)
    if word:
        assert sum(v.alarm and word in v.line() for v in verdicts) >= 0.8 * least * len(verdicts)


def test_other_data_are_found_by_the_priors_error(reference):
    rough = signals(60, 70_000, reach=0.7)
    verdicts = [reference.judge(row, SAMPLES) for row in rows(rough, 80_000)[-1]]
    assert sum(v.alarm for v in verdicts) >= 0.5 * len(verdicts)


def test_the_power_for_larger_noise_is_that_of_the_derivation(reference):
    """`shared` moves by 3 sum f^2 / m where the noise is twice as large."""
    a = blur()
    eigenvalues = torch.linalg.eigvalsh(a @ covariance() @ a.T).clamp(min=0)
    f = SIGMA_Y**2 / (eigenvalues + SIGMA_Y**2)
    x = signals(300, 90_000)
    names = reference.names.index("shared")
    told = rows(x, 1)[-1][:, names]
    doubled = rows(x, 1, sigma_y=2 * SIGMA_Y)[-1][:, names]
    assert float(told.mean()) == pytest.approx(float(f.mean()), rel=0.03)
    expected = 3 * float(f.square().mean())
    assert float((doubled - told).mean()) == pytest.approx(expected, rel=0.05)


def test_fewer_samples_have_a_table_of_their_own(reference):
    assert reference.rows(3)[1] == 2
    assert reference.rows(100)[1] == SAMPLES
    later = Reference(reference.values[1:], reference.samples[1:], {})
    with pytest.raises(InvalidInput) as said:
        later.judge(reference.values[-1, 0], 1)
    assert "at least 2" in said.value.expected


def test_a_card_gives_the_same_verdicts(reference):
    again = Reference.from_card(reference.card())
    row = rows(signals(1, 5), 6, sigma_y=2 * SIGMA_Y)[-1][0]
    one, other = reference.judge(row, SAMPLES), again.judge(row, SAMPLES)
    assert (one.p, one.level) == (other.p, other.level)
    assert again.sampler == {"class": "exact"}
    assert other.card()["level"] == "doubtful"


def test_noise_levels_of_a_range_are_a_regression():
    """Statistics that follow log sigma_y are no reason for an alarm, and those that do not are."""
    generator = torch.Generator().manual_seed(0)
    level = torch.linspace(0.05, 0.5, 60, dtype=DOUBLE)
    noise = torch.randn(1, 60, 16, generator=generator, dtype=DOUBLE)
    values = 0.1 * noise + 3 * level.log()[None, :, None]
    reference = Reference(values, (2,), {}, level)
    usual = 3 * torch.full((16,), 0.2, dtype=DOUBLE).log()
    assert not reference.judge(usual, 2, 0.2).alarm
    assert reference.judge(usual, 2, 0.1).alarm
    assert reference.expected(0, 2, 0.2) == pytest.approx(float(usual[0]), abs=0.1)
    assert reference.range_of_noise == (0.05, 0.5)


def test_values_that_are_not_finite_are_doubtful(reference):
    row = reference.values[-1, 0].clone()
    row[0] = math.inf
    assert reference.judge(row, SAMPLES).alarm


def test_a_small_reference_is_refused(reference):
    few = Reference(reference.values[:, :18], reference.samples, {})
    with pytest.raises(InvalidInput) as said:
        few.judge(reference.values[-1, 0], SAMPLES)
    assert "at least 19" in said.value.expected
    assert few.judge(reference.values[-1, 30], SAMPLES, false_alarms=0.1).images == 18
    with pytest.raises(InvalidInput):
        few.judge(reference.values[-1, 0], SAMPLES, false_alarms=1.0)


@pytest.mark.parametrize(
    "change",
    [
        lambda card: card.update(images=98),
        lambda card: card["values"][0][0].pop(),
        lambda card: card["values"].pop(),
        lambda card: card.update(samples=[]),
        lambda card: card.update(sigma_y=[0.1]),
        lambda card: card.update(levels=["a"]),
        lambda card: card.update(noise={"factor": [1.0]}),
        lambda card: card.pop("sampler"),
        lambda card: card.update(more=1),
    ],
)
def test_a_card_that_is_no_reference_is_refused(reference, change):
    card = reference.card()
    change(card)
    with pytest.raises(InvalidInput):
        Reference.from_card(card)


def test_statistics_know_nothing_of_units():
    x = signals(3, 7)
    own = rows(x, 8)[-1]
    assert own.shape == (3, 16)
    assert PLACES == 48
