"""The log of a training run: what it measures of itself, line by line in a file, and in TensorBoard
where that is asked for.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, final

from deft.errors import CheckpointError, InvalidInput
from deft.storage.atomic import atomic
from deft.storage.tensors import refusal


@final
class Log:
    """metrics.jsonl: one JSON object per line, each with its step; lines after the step that a run
    goes on from are dropped.
    """

    def __init__(self, folder: Path | None, step: int, tensorboard: bool) -> None:
        self.lines: list[dict[str, Any]] = []
        self.path = folder / "metrics.jsonl" if folder is not None else None
        self.board = _tensorboard(folder) if tensorboard else None
        if self.path is None:
            return
        if step and self.path.exists():
            self.lines = [
                line
                for line in map(_parsed, self.path.read_text().splitlines())
                if line is not None and line["step"] <= step
            ]
        try:
            with atomic(self.path) as file:
                file.write("".join(json.dumps(line) + "\n" for line in self.lines).encode())
        except OSError as error:
            raise CheckpointError(refusal(self.path, error)) from error

    def write(self, line: dict[str, Any]) -> None:
        self.lines.append(line)
        if self.path is not None:
            try:
                with open(self.path, "a") as file:
                    file.write(json.dumps(line) + "\n")
            except OSError as error:
                raise CheckpointError(refusal(self.path, error)) from error
        if self.board is not None:
            for name, value in line.get("validation", line).items():
                if isinstance(value, float):
                    self.board.add_scalar(
                        f"validation/{name}" if "validation" in line else name, value, line["step"]
                    )

    def __enter__(self) -> Log:
        return self

    def __exit__(self, *error: object) -> None:
        if self.board is not None:
            self.board.close()


def _parsed(line: str) -> dict[str, Any] | None:
    """A line of the log, or None where the run was killed while writing it."""
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) and "step" in value else None


def _tensorboard(folder: Path | None) -> Any:
    if folder is None:
        raise InvalidInput("tensorboard=True writes beside the run; give a folder `out`.")
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise InvalidInput(
            "tensorboard is not installed; `pip install deft-diffusion[tracking]`, or read "
            "metrics.jsonl."
        ) from error
    return SummaryWriter(folder)
