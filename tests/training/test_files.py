from deft.training.files import as_recorded


def test_what_an_earlier_card_does_not_know_is_not_compared():
    ours = {"items": 3, "fingerprint": "a", "bank": {"data": {"items": 3, "fingerprint": "b"}, "fingerprint": "c"}}
    assert as_recorded(ours, {}) == {"items": 3, "bank": ours["bank"]}
    theirs = {"items": 4, "fingerprint": None, "bank": {"data": {"items": 3}, "fingerprint": "d"}}
    assert as_recorded(ours, theirs) == {"items": 3, "bank": {"data": {"items": 3}, "fingerprint": "c"}}
    assert as_recorded(ours, ours) == ours
    assert as_recorded({"signals": 2, "sigma_y": 0.1}, {"sigma_y": 0.2}) == {"sigma_y": 0.1}
