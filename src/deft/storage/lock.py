"""One run per folder.

    .deft-lock
        held by the process that writes to the folder; says which one: host, process, start, command

The lock is the operating system's (fcntl, which works over NFS): it ends with its process, however
that ends. Where there is none (Windows, a file system without locks) the file itself is the lock:
whoever creates it holds it, and one whose process no longer runs on this machine is taken over. The
file is removed at the end; what a killed run left is taken over, and said where that run was on
another machine.
"""

from __future__ import annotations

import json
import os
import shlex
import socket
import sys
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, final

from deft.errors import FolderInUse
from deft.storage.atomic import alive

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

NAME = ".deft-lock"
_MOST_BYTES = 1 << 16
_TAKEN = (BlockingIOError, PermissionError)  # EAGAIN or EACCES, by system
_held: dict[Path, _Held] = {}
_guard = threading.Lock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_held.clear)  # a child holds nothing of its parent's


@final
@dataclass
class _Held:
    """A lock of this process: by which thread, how often, and the open file, where it is the
    operating system's.
    """

    thread: int
    times: int
    file: int | None


@contextmanager
def locked(folder: str | Path) -> Iterator[None]:
    """Hold the folder, which is made where it is missing, within the block; the same thread may
    hold it again inside.

    Raises `FolderInUse` where another run holds it, and OSError where it cannot be written to.
    """
    folder = Path(folder)
    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder.resolve() / NAME
    with _guard:
        held = _held.get(path)
        if held is None:
            held = _held[path] = _Held(threading.get_ident(), 0, _taken(path, folder))
        elif held.thread != threading.get_ident():
            raise _in_use(folder, path, _own(), "another thread of this process")
        held.times += 1
    try:
        yield
    finally:
        with _guard:
            held.times -= 1
            if not held.times and _held.get(path) is held:
                del _held[path]
                _let_go(path, held.file)
                if made:  # what failed before it wrote anything leaves no trace
                    with suppress(OSError):
                        folder.rmdir()


def first_process() -> bool:
    """Whether this is the first process of a run of several (torchrun, accelerate launch): the one
    that holds the folder for all of them.
    """
    try:
        return int(os.environ.get("WORLD_SIZE", "1")) <= 1 or int(os.environ.get("RANK", "0")) == 0
    except ValueError:
        return True


def _taken(path: Path, folder: Path) -> int | None:
    """The open file of the lock, or None where the file itself is the lock."""
    if fcntl is not None:
        for _ in range(100):  # a file that was removed meanwhile is no lock
            file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except _TAKEN as error:
                os.close(file)
                raise _in_use(folder, path, _read(path)) from error
            except OSError:  # this file system has no locks
                os.close(file)
                break
            if _is_there(path, file):
                _warn_of(
                    folder, _parsed(os.pread(file, _MOST_BYTES, 0))
                )  # closing a second descriptor would end the lock
                _say(file)
                return file
            os.close(file)
    _create(path, folder)
    return None


def _create(path: Path, folder: Path) -> None:
    """Take the folder by creating the file; one of a process that no longer runs here is taken
    over.
    """
    for _ in range(2):
        beside = path.with_name(f"{NAME}-{os.getpid()}-{threading.get_ident()}")
        beside.write_text(json.dumps(_own()))
        try:
            _put(beside, path)
            return
        except FileExistsError as error:
            known = _read(path)
            if not _is_over(known):
                raise _in_use(folder, path, known) from error
            with suppress(FileNotFoundError):
                path.unlink()
        finally:
            beside.unlink(missing_ok=True)
    raise _in_use(folder, path, _read(path))


def _put(beside: Path, path: Path) -> None:
    """Give the file its name, whole, unless there is one of that name."""
    try:
        os.link(beside, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        with open(path, "x") as file:
            file.write(beside.read_text())


def _is_over(known: Mapping[str, Any]) -> bool:
    """Whether the process that left a lock is known to have ended. An empty file is ours: it was
    opened before it turned out that there are no locks.
    """
    number = known.get("process")
    return not known or (
        known.get("host") == socket.gethostname()
        and isinstance(number, int)
        and number != os.getpid()
        and not alive(number)
    )


def _let_go(path: Path, file: int | None) -> None:
    with suppress(OSError):
        path.unlink()
    if file is not None:
        with suppress(OSError):
            os.close(file)


def _is_there(path: Path, file: int) -> bool:
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))
    except FileNotFoundError:
        return False


def _own() -> dict[str, object]:
    """What the file says of this process."""
    command = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]) if sys.argv else "python"
    return {
        "host": socket.gethostname(),
        "process": os.getpid(),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command,
    }


def _say(file: int) -> None:
    with suppress(OSError):  # on a full disk the lock holds all the same
        os.ftruncate(file, 0)
        os.pwrite(file, json.dumps(_own()).encode(), 0)


def _read(path: Path) -> dict[str, Any]:
    """What a lock that this process does not hold says."""
    try:
        return _parsed(path.read_bytes())
    except OSError:
        return {}


def _parsed(content: bytes) -> dict[str, Any]:
    try:
        known = json.loads(content)
    except ValueError:
        return {}
    return known if isinstance(known, dict) else {}


def _warn_of(folder: Path, known: Mapping[str, Any]) -> None:
    """Say whose lock is taken over, where it cannot be asked."""
    if known and known.get("host") != socket.gethostname():
        warnings.warn(
            f"{folder} was left locked by {_described(known)}, which no longer holds it: taken "
            "over. Where that machine does not share its locks with this one, "
            "make sure that it has ended.",
            stacklevel=4,
        )


def _in_use(folder: Path, path: Path, known: Mapping[str, Any], who: str = "") -> FolderInUse:
    return FolderInUse(
        f"the folder {folder} is in use",
        given=who or _described(known),
        expected="one run per folder",
        advice="wait for that run or stop it, or give another folder; if it no longer runs, "
        f"delete {path}",
    )


def _described(known: Mapping[str, Any]) -> str:
    if not known:
        return "another run, which does not say which one"
    return (
        f"process {known.get('process')} on {known.get('host')}, since {known.get('started')}: "
        f"{known.get('command')}"
    )
