"""One run per folder: other processes, threads, kills, systems without locks."""

import json
import os
import socket
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import pytest

from deft.errors import FolderInUse
from deft.storage import lock
from deft.storage.lock import NAME, first_process, locked

HOLD = (
    "import sys; from deft.storage.lock import locked\nwith locked(sys.argv[1]): print('held', "
    "flush=True); sys.stdin.read()"
)
SYSTEMS = ["fcntl", "files"] if lock.fcntl is not None else ["files"]


class Holder:
    """Another process that holds a folder until it is told to end."""

    def __init__(self, folder: Path, system: str) -> None:
        code = (
            HOLD
            if system == "fcntl"
            else f"import deft.storage.lock as lock; lock.fcntl = None\n{HOLD}"
        )
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout.readline() == "held\n"

    def end(self) -> int:
        self.process.communicate(timeout=60)
        return self.process.returncode

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate(timeout=60)


@pytest.fixture(params=SYSTEMS)
def system(request, monkeypatch) -> str:
    if request.param == "files":
        monkeypatch.setattr(lock, "fcntl", None)
    return request.param


def test_the_other_process_is_named_and_its_end_frees_the_folder(
    tmp_path: Path, system: str
) -> None:
    holder = Holder(tmp_path, system)
    with pytest.raises(FolderInUse) as raised, locked(tmp_path):
        pass
    assert f"process {holder.process.pid} on {socket.gethostname()}" in raised.value.given
    assert "-c" in raised.value.given
    assert str(tmp_path) in raised.value.what
    assert "another folder" in raised.value.advice
    assert holder.end() == 0
    with locked(tmp_path):
        pass
    assert not list(tmp_path.iterdir())


def test_what_a_killed_run_left_is_taken_over(tmp_path: Path, system: str) -> None:
    Holder(tmp_path, system).kill()
    assert (tmp_path / NAME).exists()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with locked(tmp_path):
            assert json.loads((tmp_path / NAME).read_text())["process"] == os.getpid()
    assert not list(tmp_path.iterdir())


def left_behind(folder: Path, **facts: object) -> None:
    (folder / NAME).write_text(
        json.dumps(
            {
                "host": socket.gethostname(),
                "process": 1,
                "started": "then",
                "command": "deft train",
                **facts,
            }
        )
    )


@pytest.mark.skipif(lock.fcntl is None, reason="no locks of the system")
def test_a_lock_that_nobody_holds_is_taken_over_and_said_where_it_is_another_machines(
    tmp_path: Path,
) -> None:
    left_behind(tmp_path, host="elsewhere", process=12)
    with (
        pytest.warns(UserWarning, match="process 12 on elsewhere, since then: deft train"),
        locked(tmp_path),
    ):
        pass
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", ["", "{", "[]", '{"process": "x"}'])
@pytest.mark.skipif(lock.fcntl is None, reason="no locks of the system")
@pytest.mark.filterwarnings("ignore:.*was left locked")
def test_a_damaged_lock_that_nobody_holds_is_taken_over(tmp_path: Path, content: str) -> None:
    (tmp_path / NAME).write_text(content)
    with locked(tmp_path):
        pass


def test_without_locks_another_machine_or_a_living_process_is_refused(
    tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(lock, "fcntl", None)
    for facts in ({"host": "elsewhere", "process": 12}, {"process": os.getppid()}):
        left_behind(tmp_path, **facts)
        with pytest.raises(FolderInUse) as raised, locked(tmp_path):
            pass
        assert f"process {facts['process']}" in raised.value.given
        assert f"delete {tmp_path.resolve() / NAME}" in raised.value.advice


def test_a_file_system_without_locks(tmp_path: Path, monkeypatch) -> None:
    class Without:
        LOCK_EX = LOCK_NB = 0

        @staticmethod
        def lockf(file: int, how: int) -> None:
            raise OSError(37, "No locks available")

    monkeypatch.setattr(lock, "fcntl", Without)
    with locked(tmp_path):
        assert json.loads((tmp_path / NAME).read_text())["process"] == os.getpid()
    assert not list(tmp_path.iterdir())


def test_the_same_thread_may_hold_it_again_another_may_not(tmp_path: Path, system: str) -> None:
    found: list[BaseException] = []

    def other() -> None:
        try:
            with locked(tmp_path / "." / ".." / tmp_path.name):
                pass
        except FolderInUse as error:
            found.append(error)

    with locked(tmp_path):
        with locked(tmp_path):
            pass
        assert (tmp_path / NAME).exists()
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert "another thread" in found[0].given  # type: ignore[attr-defined]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_exception_lets_go(tmp_path: Path, system: str, error: type[BaseException]) -> None:
    with pytest.raises(error), locked(tmp_path):
        raise error
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_one(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError), locked(tmp_path / "file"):
        pass


@pytest.mark.parametrize(
    ("variables", "first"),
    [
        ({}, True),
        ({"RANK": "1", "WORLD_SIZE": "2"}, False),
        ({"RANK": "0", "WORLD_SIZE": "2"}, True),
        ({"RANK": "3"}, True),
        ({"RANK": "x", "WORLD_SIZE": "2"}, True),
    ],
)
def test_the_first_process_holds_the_folder_for_all(
    monkeypatch, variables: dict[str, str], first: bool
) -> None:
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert first_process() is first


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_child_holds_nothing_of_its_parents(tmp_path: Path) -> None:
    with locked(tmp_path):
        child = os.fork()
        if not child:
            status = 1
            try:
                with locked(tmp_path):
                    pass
            except FolderInUse:
                status = 0
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert (tmp_path / NAME).exists()
