"""What a folder remembers, and what differs from it."""

import json
from pathlib import Path

import pytest
import yaml

from deft.errors import CheckpointError, InvalidInput
from deft.storage.claims import as_recorded, claim, claim_yaml, differences, keep_yaml

OLD = {
    "seed": 0,
    "problem": {"class_path": "a.B", "init_args": {"sigma_y": [0.1, 0.2], "mask": None}},
    "steps": 3,
}


def test_nothing_differs_from_itself_as_json() -> None:
    assert (
        differences(
            OLD,
            {
                **OLD,
                "problem": {
                    "class_path": "a.B",
                    "init_args": {"sigma_y": (0.1, 0.2), "mask": None},
                },
            },
        )
        == []
    )


@pytest.mark.parametrize(
    ("now", "said"),
    [
        ({"seed": 1}, "seed: 0 before, 1 now"),
        ({"more": None, "steps": 4}, "steps: 3 before, 4 now"),
        ({"more": 2}, "more: null before, 2 now"),
        (
            {"problem": {"class_path": "a.B", "init_args": {"sigma_y": 0.3, "mask": None}}},
            "problem.args.sigma_y: [0.1, 0.2] before, 0.3 now",
        ),
        ({"problem": None}, "problem: {"),
    ],
)
def test_a_difference_has_a_name_and_both_values(now: dict, said: str) -> None:
    found = differences(OLD, {**OLD, **now})
    assert len(found) == 1
    assert str(found[0]).startswith(said)


def test_another_class_is_one_difference() -> None:
    assert [
        d.name
        for d in differences(OLD, {**OLD, "problem": {"class_path": "a.C", "init_args": {"x": 1}}})
    ] == ["problem"]
    assert [
        d.name
        for d in differences({"p": {"class": "A", "args": {}}}, {"p": {"class": "B", "args": {}}})
    ] == ["p"]


def test_what_is_free_or_was_not_recorded_is_not_compared() -> None:
    assert differences(OLD, {**OLD, "steps": 9}, free=("steps",)) == []
    newer = {
        **OLD,
        "option": 1,
        "problem": {"class_path": "a.B", "init_args": {**OLD["problem"]["init_args"], "option": 2}},
    }
    assert differences(OLD, newer, named_only=True) == []
    assert {d.name for d in differences(OLD, newer)} == {"option", "problem.args.option"}
    assert differences({"data": {"items": 3}}, {"data": {"items": 3, "fingerprint": "a"}}) == []
    assert as_recorded({"fingerprint": "a", "n": 1}, {}) == {"n": 1}


def test_a_claim_is_kept_and_added_to(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "content.json"
    claim(path, {"prior": "a"}, "a demo", update=True)
    claim(path, {"prior": "a", "images": "b"}, "a demo", update=True)
    assert json.loads(path.read_text()) == {"prior": "a", "images": "b"}
    with pytest.raises(
        InvalidInput, match=r'a demo in another configuration: images: "b" before, "c" now'
    ):
        claim(path, {"prior": "a", "images": "c"}, "a demo", update=True)


@pytest.mark.parametrize("content", ["", "{", "[1]", "\x00", "3"])
def test_a_damaged_record_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "card.json"
    path.write_text(content)
    with pytest.raises(CheckpointError, match=r"card\.json"):
        claim(path, {"seed": 0}, "a run")
    (tmp_path / "config.yaml").write_text(content if content != "" else "[: {")
    with pytest.raises(CheckpointError, match=r"config\.yaml"):
        claim_yaml(tmp_path, "seed: 0", "deft sample")


def test_options_are_claimed(tmp_path: Path) -> None:
    old = {"seed": 0, "h": "run", "limit": 2}
    claim_yaml(tmp_path, yaml.safe_dump(old), "deft sample", free=("limit",))
    claim_yaml(
        tmp_path,
        yaml.safe_dump({**old, "limit": 3, "an_option_of_a_later_version": True}),
        "deft sample",
        free=("limit",),
    )
    assert yaml.safe_load((tmp_path / "config.yaml").read_text())["limit"] == 3
    with pytest.raises(InvalidInput, match=r'h: "run" before, "other" now') as raised:
        claim_yaml(tmp_path, yaml.safe_dump({**old, "h": "other"}), "deft sample", free=("limit",))
    assert "limit" not in str(raised.value)
    keep_yaml(tmp_path, "seed: 5\n")
    assert (tmp_path / "config.yaml").read_text() == "seed: 5\n"


def test_what_an_earlier_card_does_not_know_is_not_compared():
    ours = {
        "items": 3,
        "fingerprint": "a",
        "bank": {"data": {"items": 3, "fingerprint": "b"}, "fingerprint": "c"},
    }
    assert as_recorded(ours, {}) == {"items": 3, "bank": ours["bank"]}
    theirs = {"items": 4, "fingerprint": None, "bank": {"data": {"items": 3}, "fingerprint": "d"}}
    assert as_recorded(ours, theirs) == {
        "items": 3,
        "bank": {"data": {"items": 3}, "fingerprint": "c"},
    }
    assert as_recorded(ours, ours) == ours
    assert as_recorded({"signals": 2, "sigma_y": 0.1}, {"sigma_y": 0.2}) == {"sigma_y": 0.1}
