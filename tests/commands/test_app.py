"""`deft app`: what its page begins with; the page itself is in tests/app."""

import pytest

from deft.commands import app
from deft.training import places


@pytest.fixture
def served(monkeypatch):
    found = {}

    def serve(names, *, say, **settings):
        found.update(settings, names=list(names))
        say("http://127.0.0.1:1")

    monkeypatch.setattr(app, "serve", serve)
    return found


PICTURES = [name for name in places.shipped() if "backbone" not in name]
"""What the page can show: no chains."""


def test_those_that_ship(deft, served):
    code, said, error = deft("app", "--open_page", "false")
    assert code == 0, error
    assert said == "the page is at http://127.0.0.1:1\n"
    assert served["names"] == PICTURES
    assert served["prior"] is None
    assert served["port"] == 7860
    assert served["limits"].megabytes == 32


def test_those_that_are_given_come_first(deft, served, run_folder, prior_file):
    given = ["--h", str(run_folder), "--h", "h-digits-32-box", "--prior", prior_file]
    code, _, error = deft("app", *given, "--port", "0", "--megabytes", "2", "--samples", "5")
    assert code == 0, error
    assert served["names"][:2] == [str(run_folder), "h-digits-32-box"]
    assert len(served["names"]) == len(set(served["names"])) == len(PICTURES) + 1
    assert served["prior"].name == "tiny"
    assert (served["limits"].megabytes, served["limits"].samples) == (2.0, 5)


def test_the_page_is_opened_where_there_is_a_display(deft, served, monkeypatch):
    opened = []
    monkeypatch.setattr(app.webbrowser, "open", opened.append)
    for display, flag, count in ((True, "false", 0), (False, "true", 0), (True, "true", 1)):
        monkeypatch.setattr(app, "has_display", lambda display=display: display)
        assert deft("app", "--open_page", flag)[0] == 0
        assert len(opened) == count


def test_the_names_of_the_user_come_before_those_that_ship(monkeypatch, tmp_path, run_folder):
    import shutil

    mine = tmp_path / "mine"
    shutil.copytree(run_folder, mine / "faces")
    shutil.copy(run_folder / "h.safetensors", mine / "h-alone.safetensors")
    shutil.copy(places.FOLDER / "digits-32.safetensors", mine / "prior.safetensors")
    (mine / "broken.safetensors").write_bytes(b"x")
    monkeypatch.setenv("DEFT_WEIGHTS", str(mine))
    assert places.named() == ["faces", "h-alone", *places.shipped()]
