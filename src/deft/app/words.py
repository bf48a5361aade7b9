"""Errors of the library in the words of the page: `convert='grey'` is a choice under Channels."""

from __future__ import annotations

import re
from pathlib import Path

from deft.errors import DeftError

LABELS = {
    "file": "Picture",
    "h": "h-transform",
    "way": "How it is measured",
    "mask": "Mask",
    "sigma_y": "Noise level",
    "values": "Values of an array",
    "value_range": "Values of an array",
    "size": "Size",
    "fit": "Size",
    "channels": "Channels",
    "convert": "Channels",
    "samples": "Samples",
    "num_samples": "Samples",
    "steps": "Steps",
    "seed": "Seed",
    "beside": "Mask, kernel or angles",
}
"""What stands beside each field of the page."""

READ = "How the file is read"
CLEAN = "The picture is clean: add noise of that level"

_PHRASES = (
    (r"use fit='resize' \(([^)]*)\) or fit='crop' \(([^)]*)\)", 'choose under Size: "scale to fit" '
     r'(\1) or "cut out the middle" (\2)'),
    (r"use images of that many channels as an npy array", "give another picture"),
    (r"(?:use )?fit='resize'", 'choose "scale to fit" under Size'),
    (r"(?:use )?fit='crop'", '"cut out the middle" under Size'),
    (r"(?:use )?convert='grey'", 'choose "grey" under Channels'),
    (r"(?:use )?convert='rgb'", 'choose "colour" under Channels'),
    (r"[Aa]llow_prior=True downloads it; prior= takes a copy of yours, or '([^']*)'",
     r"start deft app with --prior \1, or with a copy of yours"),
    (r"value_range=\(0, 1\)", 'Values "0 to 1"'),
    (r"To skip such files: strict=False\.?", ""),
    (r"or draw it by tiles: .*", "or draw it by tiles with deft sample"),
)  # fmt: skip


def spoken(error: DeftError, *files: Path | None) -> str:
    """An error in the words of the page; files by their names alone."""
    text = " ".join(str(error).split())
    label = LABELS.get(error.what)
    if label is not None and text.startswith(f"{error.what}:"):
        text = f"{label}{text[len(error.what) :]}"
    return in_words(text, *files)


def in_words(text: str, *files: Path | None) -> str:
    """A text of the library in the words of the page."""
    for path in files:
        if path is not None:
            text = text.replace(str(path), path.name)
    for pattern, phrase in _PHRASES:
        text = re.sub(pattern, phrase, text)
    return " ".join(text.split())
