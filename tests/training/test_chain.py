"""Training time counts the runs that a run began from."""

import pytest
import yaml

from deft.priors.zoo import FOLDER
from deft.training import chain, checkpoint
from tests.training import small


def saved(path, seconds: float, before: float | None = None):
    path.parent.mkdir(parents=True, exist_ok=True)
    training = {"seconds": seconds} | ({} if before is None else {"seconds_before": before})
    checkpoint.save(path, small.h_transform(), small.prior(), {"training": training})
    return path


def test_a_card_counts_what_came_before(tmp_path):
    assert chain.seconds(None) == chain.seconds({}) == chain.seconds({"training": "long"}) == 0
    assert chain.seconds({"training": {"seconds": 3.0}}) == 3
    assert chain.seconds({"training": {"seconds": 3.0, "seconds_before": 4}}) == 7
    assert chain.seconds({"training": {"seconds": float("nan"), "seconds_before": -4}}) == 0


def test_a_file_counts_its_whole_chain(tmp_path):
    path = saved(tmp_path / "run" / "h.safetensors", 10.0, 5.0)
    assert chain.seconds_of(path) == 15
    facts = chain.facts(path, 2.5)
    assert facts == {"began_from": str(path), "seconds_before": 15.0, "seconds_in_all": 17.5}


def test_what_ships_is_called_by_its_name():
    path = next(FOLDER.glob("h-*.safetensors"))
    facts = chain.facts(path, 1.0)
    assert facts["began_from"] == path.stem
    assert facts["seconds_before"] > 0


def test_a_run_that_has_not_ended_counts_what_its_options_name(tmp_path):
    first = saved(tmp_path / "first" / "h.safetensors", 10.0)
    small.run(small.h_transform(), out=tmp_path / "second", steps=2)
    state = tmp_path / "second" / "state.safetensors"
    own = chain.seconds_of(state)
    assert own > 0
    for initial in (str(first), str(first.parent)):
        (tmp_path / "second" / "config.yaml").write_text(yaml.safe_dump({"initial": initial}))
        assert chain.seconds_of(state) == pytest.approx(own + 10)
    for nothing in ("initial: null", "initial: gone.safetensors", "[: {", "- 1", "initial: 3"):
        (tmp_path / "second" / "config.yaml").write_text(nothing)
        assert chain.seconds_of(state) == own
    (tmp_path / "second" / "config.yaml").write_text(
        yaml.safe_dump({"initial": str(state)})
    )  # a circle ends
    assert chain.seconds_of(state) > own
