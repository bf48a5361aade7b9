"""What an alarm says."""

import pytest

from deft.metrics.alarm.verdict import Judged, judged


def one(name, t):
    return Judged(name, 0.5, -0.1, 0.1, t)


def said(noise=0.0, residual="gain", t=0.0, data=0.0, p=0.01):
    found = [one("misfit", noise), one(residual, t), one("prior's error at log-SNR 1", data)]
    z = [abs(v) - 1 for v in (noise, t, data)]
    return judged(found, z, p, 0.05, 8, 99)


def test_what_fits_has_no_reasons():
    verdict = said(noise=9.0, p=0.051)
    assert (verdict.level, verdict.alarm, verdict.reasons) == ("fits", False, ())
    assert verdict.line() == "fits (p = 0.051)"


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"noise": 9.0}, "the noise is larger than told"),
        ({"noise": -9.0}, "the noise is smaller than told"),
        ({"t": 9.0}, "the operator has another scale"),
        ({"t": 9.0, "residual": "blur down"}, "the operator blurs more or less than told"),
        ({"t": -9.0, "residual": "shift down"}, "shifted against the operator"),
        ({"t": 9.0, "residual": "tails"}, "a few measurements are far off"),
        ({"t": 9.0, "residual": "colour across"}, "neighbouring residuals are alike"),
        ({"t": 9.0, "residual": "offset"}, "an offset"),
        ({"data": 9.0}, "others than it was trained on"),
        ({"data": -9.0}, "plainer data"),
    ],
)
def test_the_reason_is_in_plain_words(how, words):
    verdict = said(**how)
    assert verdict.level == "doubtful"
    assert words in verdict.reasons[0]
    assert "usually" in verdict.line()


def test_several_reasons_stand_the_most_telling_first():
    verdict = said(noise=6.0, data=9.0)
    assert len(verdict.reasons) == 2
    assert "trained on" in verdict.reasons[0]
    assert len(said(noise=2.0).reasons) == 1


def test_misfits_and_errors_are_shown_as_they_are_read():
    assert Judged("misfit", 0.0, -0.2, 0.2, 1.0).words() == "misfit 1, usually 0.905 to 1.11"
    assert Judged("gain", -2.0, -1.0, 1.0, -3.0).words() == "gain -2, usually -1 to 1"
    card = said(noise=9.0).card()
    assert card["statistics"]["gain"] == [0.5, -0.1, 0.1, 0.0]
    assert (card["samples"], card["images"]) == (8, 99)
