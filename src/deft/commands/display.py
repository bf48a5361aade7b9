"""Whether there is a screen that a page can be opened on."""

from __future__ import annotations

import os
import sys


def has_display() -> bool:
    """Whether somebody sits before this machine, as far as can be known."""
    if os.environ.get("CI") or not sys.stdout.isatty():
        return False
    return sys.platform in ("darwin", "win32") or bool(
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )
