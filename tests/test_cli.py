"""The command line as a whole: help without torch, unknown commands, errors, interruption."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from deft import cli
from deft.errors import InvalidInput
from deft.storage.atomic import atomic


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from deft.cli import main; main(['--help']); "
        "heavy = {'torch', 'numpy', 'jsonargparse', 'diffusers', 'deft.commands'} & "
        "set(sys.modules); sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert all(name in done.stdout for name in cli.COMMANDS)


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["help"], ["--version"]])
def test_answers_at_once(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(arguments) == 0
    assert "deft" in capsys.readouterr().out


def test_no_command_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 2


def test_unknown_command_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["trian"]) == 2
    assert "did you mean train" in capsys.readouterr().err


@pytest.mark.parametrize("command", list(cli.COMMANDS))
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([command, "--help"]) == 0
    assert f"usage: deft {command}" in capsys.readouterr().out


class _Stub:
    """Stands for the parser module: its `run` raises."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def run(self, name: str, arguments: list[str]) -> int:
        raise self.error


def test_an_error_is_one_message_and_debug_shows_where(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "import_module", lambda name: _Stub(InvalidInput("no such thing.")))
    assert cli.main(["list"]) == 2
    said = capsys.readouterr()
    assert said.err == "deft: no such thing.\n"
    assert said.out == ""
    with pytest.raises(InvalidInput):
        cli.main(["list", "--debug"])


def test_a_full_disk_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    class Writes:
        def run(self, name: str, arguments: list[str]) -> int:
            with atomic(tmp_path / "00.npz") as file:
                file.write(b"half")
            return 0

    monkeypatch.setattr(cli, "import_module", lambda name: Writes())
    monkeypatch.setattr(os, "fsync", full)
    assert cli.main(["sample"]) == 2
    said = capsys.readouterr().err
    assert "00.npz: No space left on device" in said
    assert "free some space" in said
    assert not list(tmp_path.iterdir())


def test_interruption_says_how_to_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "import_module", lambda name: _Stub(KeyboardInterrupt()))
    assert cli.main(["train"]) == 130
    assert "the same command goes on" in capsys.readouterr().err
    monkeypatch.setattr(
        cli, "import_module", lambda name: _Stub(KeyboardInterrupt("stopped at step 3"))
    )
    assert cli.main(["train"]) == 130
    assert "stopped at step 3" in capsys.readouterr().err
