import sys

from deft.storage import provenance


def test_the_command_leaves_out_folders(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/home/somebody/venv/bin/deft", "evaluate", "a file.yaml"])
    assert provenance.command() == "deft evaluate 'a file.yaml'"


def test_commit_versions_and_machine():
    commit = provenance.commit()
    assert commit is None or len(commit.removesuffix("+changes")) == 40
    assert provenance.versions()["torch"]
    assert "CPU" in provenance.machine("cpu")


def test_no_commit_without_git(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert provenance.commit() is None
