"""Chromium, and the page as a process of its own that is watched: whom either of them asks.

What is missing is named, and fails the test: it is never skipped.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

import deft

NAMES = ("chromium", "chromium-browser", "google-chrome")
WATCHED = """
import sys

def watch(event, args):
    if event == "socket.connect" and isinstance(args[1], tuple):
        with open({log!r}, "a") as log:
            print(args[1][0], file=log)
    if event == "socket.getaddrinfo":
        with open({log!r}, "a") as log:
            print(args[0], file=log)

sys.addaudithook(watch)
import socket
socket.socket(socket.AF_INET, socket.SOCK_STREAM).connect_ex(("127.0.0.1", 9))  # seen, as any would
from deft.cli import main
sys.exit(main(sys.argv[1:]))
"""


def binary() -> str:
    """Where Chromium is; DEFT_CHROMIUM says it where it has another name."""
    said = os.environ.get("DEFT_CHROMIUM")
    found = said or next(filter(None, map(shutil.which, NAMES)), None)
    if found is None or not Path(found).exists():
        pytest.fail(
            f"no Chromium ({', '.join(NAMES)}); install it: apt-get install chromium, or say where "
            "it is: DEFT_CHROMIUM=PATH"
        )
    return found


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser without a screen."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        pytest.fail("no Playwright; install it: pip install playwright")
    with sync_playwright() as driver:
        options = ["--no-sandbox"] if os.geteuid() == 0 else []
        found = driver.chromium.launch(executable_path=binary(), args=options)
        try:
            yield found
        finally:
            found.close()


@contextmanager
def served(folder: Path, *arguments: str) -> Iterator[tuple[str, Path]]:
    """`deft app` in a process of its own: its address, and a file with all that it connected to."""
    log = folder / "asked"
    log.touch()
    command = [sys.executable, "-c", WATCHED.format(log=str(log)), "app", "--port", "0"]
    source = str(Path(deft.__file__).parents[1])
    with (folder / "stderr").open("w") as errors:
        process = subprocess.Popen(
            [*command, "--open_page", "false", *arguments],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, "PYTHONPATH": source, "OMP_NUM_THREADS": "1", "TMPDIR": str(folder)},
        )
    try:
        line = process.stdout.readline()
        if "http://" not in line:
            process.wait(60)
            pytest.fail(f"deft app did not start: {(folder / 'stderr').read_text()}")
        yield line.split()[-1], log
    finally:
        process.terminate()
        process.wait(60)


def is_loopback(place: str) -> bool:
    """Whether an address, or the one in a URL, is this machine, or nothing that is asked for."""
    parts = urlsplit(place)
    if parts.scheme in ("data", "blob", "about"):
        return True
    host = parts.hostname if "://" in place else place
    return host in ("127.0.0.1", "localhost", "::1")
