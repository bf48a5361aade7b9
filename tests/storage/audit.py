"""What the interpreter does while a file is read: imports, executed code, opened files, sockets
and processes, as Python's audit events tell.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

WATCHED = (
    "import",
    "exec",
    "compile",
    "open",
    "socket.",
    "subprocess.",
    "os.system",
    "os.exec",
    "os.fork",
    "os.posix_spawn",
    "os.listdir",
    "os.scandir",
    "ctypes.",
)
_records: list[set[tuple[str, str]]] = []
_hooked = False


def _hook(event: str, arguments: tuple) -> None:
    if _records and event.startswith(WATCHED):
        _records[-1].add((event, str(arguments[0])[:300] if arguments else ""))


@contextmanager
def recorded() -> Iterator[set[tuple[str, str]]]:
    """The events within the block."""
    global _hooked
    if not _hooked:
        sys.addaudithook(_hook)
        _hooked = True
    found: set[tuple[str, str]] = set()
    _records.append(found)
    try:
        yield found
    finally:
        _records.remove(found)
