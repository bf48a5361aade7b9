"""Files that are never half-written.

A file is written beside its destination, flushed to the disk, and moved over it in one step: at
every moment the destination holds the old content or the new one. Two processes that write the same
file do not meet: each has a temporary name of its own, and what a killed one left behind is removed
by the next.
"""

from __future__ import annotations

import glob
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO


@contextmanager
def atomic(path: Path) -> Iterator[BinaryIO]:
    """A binary file that takes the place of `path` when the block ends without an error, and leaves
    no trace otherwise.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path)
    beside = path.with_name(
        f".{path.name}.{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}.partial"
    )
    try:
        with open(beside, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException as error:
        beside.unlink(missing_ok=True)
        if (
            isinstance(error, OSError) and error.filename is None
        ):  # a full disk does not say which file it was
            error.filename = str(path)
        raise
    _sync_folder(path.parent)


def _sweep(path: Path) -> None:
    """Remove what killed processes of this machine left beside `path`."""
    start = f".{path.name}.{socket.gethostname()}-"
    for left in path.parent.glob(f"{glob.escape(start)}*.partial"):
        number = left.name.removeprefix(start).partition("-")[0]
        if number.isdigit() and not alive(int(number)):
            left.unlink(missing_ok=True)


def alive(process: int) -> bool:
    """Whether a process of this number runs on this machine."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # it is somebody else's, or cannot be asked
        return True
    return True


def _sync_folder(folder: Path) -> None:
    """Make a rename durable, where the system knows how to."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
