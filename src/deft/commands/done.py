"""What `deft sample` remembers of each image that it finished: what the samples came from, and what
was written, by content.

    OUT/done.jsonl      one line per finished image, the last one of a name counts:
                        {"name", "from": {"h", "prior", "measurement", "settings"}, "files": {file:
                            SHA-256}, "misfit", ...}

An image is done where everything that it came from is the same as now and every file of it is there
as it was written. Lines are added after the files are on the disk; half a line, of a run that was
killed, is no line.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor, nn

from deft.likelihoods import Observation
from deft.problems import Problem
from deft.storage.fingerprint import fingerprint, of_file

NAME = "done.jsonl"
_WORDS = {
    "h": "the method",
    "prior": "the prior",
    "measurement": "the measurement",
    "settings": "the settings",
}


@final
class Done:
    """The finished images of a folder, whose first file ends with `ending`."""

    def __init__(self, folder: Path, ending: str = ".npz") -> None:
        self.folder, self.path, self.ending = folder, folder / NAME, ending
        self.known: dict[str, dict[str, Any]] = {}
        text = self.path.read_bytes().decode(errors="replace") if self.path.exists() else ""
        self.whole = not text or text.endswith("\n")
        for line in text.splitlines():
            record = _parsed(line)
            if record is not None:
                self.known[record["name"]] = record

    def why_again(self, name: str, now: Mapping[str, str]) -> str | None:
        """Why the samples of an image are drawn: None where they are done, empty where there were
        none.
        """
        record = self.known.get(name)
        if record is None:
            return (
                f"nothing is recorded of the {name}{self.ending} that is there"
                if (self.folder / f"{name}{self.ending}").exists()
                else ""
            )
        changed = [
            _WORDS[part] for part, content in now.items() if record["from"].get(part) != content
        ]
        if changed:
            return f"{' and '.join(changed)} changed"
        for file, content in record["files"].items():
            if not (self.folder / file).is_file():
                return f"{file} is missing"
            if of_file(self.folder / file) != content:
                return f"{file} is damaged, or was changed"
        return None

    def add(
        self, name: str, origin: Mapping[str, str], files: list[str], facts: Mapping[str, object]
    ) -> None:
        """Record an image whose files are written."""
        record = {
            "name": name,
            "from": dict(origin),
            "files": {file: of_file(self.folder / file) for file in files},
            **facts,
        }
        self.known[name] = record
        with open(self.path, "a") as file:
            file.write(("" if self.whole else "\n") + json.dumps(record, allow_nan=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self.whole = True


def _parsed(line: str) -> dict[str, Any] | None:
    """A line, or None where it is half of one, or something else."""
    try:
        record = json.loads(line)
    except ValueError:
        return None
    if not isinstance(record, dict) or not isinstance(record.get("name"), str):
        return None
    parts = (record.get("from"), record.get("files"))
    return record if all(isinstance(part, dict) for part in parts) and record["files"] else None


def of_measurement(problem: Problem, observed: Observation, truth: Tensor | None) -> str:
    """The hash of one image's measurement: y, the operator and the noise that it was measured with,
    and the image itself where that is known.
    """
    likelihood = observed.likelihood
    held = dict([*_tensors(likelihood)])
    content = [part for name, value in sorted(held.items()) for part in (name, *_content(value))]
    return fingerprint(
        problem.card(),
        type(likelihood).__name__,
        type(observed.operator).__name__,
        observed.y,
        *content,
        truth,
    )


def _tensors(module: nn.Module) -> list[tuple[str, Tensor]]:
    return [*module.named_parameters(), *module.named_buffers()]


def _content(value: Tensor) -> tuple[object, ...]:
    """What is hashed of a tensor: itself, complex and sparse ones by their parts."""
    value = value.detach().cpu()
    if value.layout != torch.strided:
        value = value.to_sparse_coo().coalesce()
        return (value.indices(), *_content(value.values()), tuple(value.shape))
    return (torch.view_as_real(value.resolve_conj()) if value.is_complex() else value,)
