import sys
import types
from pathlib import Path

import pytest

from deft.errors import CheckpointError, InvalidInput
from deft.training.log import Log
from tests.training import small


def test_lines_after_the_step_of_a_resumed_run_are_dropped(tmp_path):
    with Log(tmp_path, 0, False) as log:
        for step in (2, 4, 6):
            log.write({"step": step, "loss": step / 2})
    with open(tmp_path / "metrics.jsonl", "a") as file:
        file.write('{"step": 8, "lo')  # killed while writing
    assert Log(tmp_path, 4, False).lines == [{"step": 2, "loss": 1.0}, {"step": 4, "loss": 2.0}]
    assert (
        tmp_path / "metrics.jsonl"
    ).read_text() == '{"step": 2, "loss": 1.0}\n{"step": 4, "loss": 2.0}\n'
    assert Log(tmp_path, 0, False).lines == []
    assert (tmp_path / "metrics.jsonl").read_text() == ""


def test_without_a_folder_lines_are_kept_in_memory():
    log = Log(None, 0, False)
    log.write({"step": 1})
    assert log.lines == [{"step": 1}]


def test_a_file_that_cannot_be_written(tmp_path):
    log = Log(tmp_path, 0, False)
    (tmp_path / "metrics.jsonl").unlink()
    (tmp_path / "metrics.jsonl").mkdir()
    with pytest.raises(CheckpointError, match=r"metrics\.jsonl could not be written"):
        log.write({"step": 1})


def test_tensorboard_gets_the_same_numbers(tmp_path, monkeypatch):
    written, closed = [], []

    class SummaryWriter:
        def __init__(self, folder):
            assert Path(folder) == tmp_path

        def add_scalar(self, name, value, step):
            written.append((step, name, value))

        def close(self):
            closed.append(True)

    monkeypatch.setitem(
        sys.modules, "torch.utils.tensorboard", types.SimpleNamespace(SummaryWriter=SummaryWriter)
    )
    result = small.run(small.h_transform(), out=tmp_path, tensorboard=True)
    assert closed
    for line in result.history:
        name, value = (
            ("validation/loss", line["validation"]["loss"])
            if "validation" in line
            else ("loss", line["loss"])
        )
        assert (line["step"], name, value) in written


def test_tensorboard_missing(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(InvalidInput, match=r"deft-diffusion\[tracking\]"):
        small.run(small.h_transform(), out=tmp_path, tensorboard=True)
    with pytest.raises(InvalidInput, match="give a folder"):
        small.run(small.h_transform(), tensorboard=True)
