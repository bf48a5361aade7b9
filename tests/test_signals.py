"""Ctrl-C, SIGTERM and SIGHUP ask for the same."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from deft import cli, signals
from deft.storage.lock import NAME
from deft.training.state import StateFile

ALL = [signal.SIGINT, *signals.TERMINATION]


def send(number: int) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", ALL)
def test_the_first_is_noted_and_the_second_strikes_as_usual(number: int) -> None:
    struck: list[int] = []
    before = signal.signal(number, lambda n, frame: struck.append(n))
    try:
        with signals.noted() as asked:
            assert not asked.is_set()
            send(number)
            assert (asked.number, struck) == (number, [])
            send(number)
            assert struck == [number]
        send(number)
        assert struck == [number, number]
    finally:
        signal.signal(number, before)


@pytest.mark.parametrize("number", signals.TERMINATION)
def test_a_termination_is_raised_within_the_block_alone(number: int) -> None:
    before = signal.getsignal(number)

    def end() -> None:
        with signals.raised():
            send(number)
            time.sleep(1)  # the handler runs at the next instruction

    with pytest.raises(signals.Stopped) as raised:
        end()
    assert raised.value.number == signals.number_of(raised.value) == number
    assert signal.getsignal(number) is before


@pytest.mark.parametrize("number", signals.TERMINATION)
def test_what_is_ignored_stays_ignored(number: int) -> None:
    before = signal.signal(number, signal.SIG_IGN)
    try:
        with signals.raised(), signals.noted() as asked:
            send(number)
            assert not asked.is_set()
    finally:
        signal.signal(number, before)


def test_in_another_thread_nothing_is_handled() -> None:
    found: list[bool] = []

    def run() -> None:
        with signals.raised(), signals.noted() as asked:
            found.append(asked.is_set())

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert found == [False]


@pytest.mark.parametrize("number", signals.TERMINATION)
def test_the_exit_status_is_128_and_the_signal(number: int, monkeypatch, capsys) -> None:
    class Command:
        def run(self, name: str, arguments: list[str]) -> int:
            send(number)
            time.sleep(1)
            return 0

    monkeypatch.setattr(cli, "import_module", lambda name: Command())
    assert cli.main(["sample"]) == 128 + number
    assert (
        f"stopped by {signal.Signals(number).name}; what was finished is kept"
        in capsys.readouterr().err
    )


def wait_for(ready: Callable[[], bool], process: subprocess.Popen) -> None:
    while not ready():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.parametrize("number", ALL)
def test_training_and_sampling_end_cleanly_in_a_process_of_their_own(
    number: int, tmp_path: Path
) -> None:
    from deft.priors import zoo
    from tests.commands.conftest import save_images, tiny_prior

    zoo.save(tmp_path / "tiny.safetensors", tiny_prior(), {"data": "ramps"})
    images, run, out = save_images(tmp_path / "images", 6), tmp_path / "run", tmp_path / "out"
    given = [
        "--prior",
        tmp_path / "tiny.safetensors",
        "--images",
        images,
        "--problem",
        "Inpainting",
        "--problem.masks",
        "box",
    ]

    def start(*arguments: object) -> subprocess.Popen:
        command = [sys.executable, "-m", "deft.cli", *map(str, arguments)]
        return subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    training = start("train", *given, "--out", run, "--steps", 1_000_000, "--batch_size", 2)
    wait_for(
        lambda: (run / "metrics.jsonl").exists() and "loss" in (run / "metrics.jsonl").read_text(),
        training,
    )
    assert (run / NAME).exists()
    second = start("train", *given, "--out", run, "--steps", 1_000_000, "--batch_size", 2)
    assert f"process {training.pid}" in second.communicate(timeout=300)[1]
    assert second.returncode == 2
    training.send_signal(number)
    said = training.communicate(timeout=300)[1]
    assert training.returncode == 128 + number, said
    assert "saved in" in said
    assert "Traceback" not in said
    assert StateFile(run).last_step() >= 50
    assert not (run / NAME).exists()

    sampling = start(
        "sample",
        *given,
        "--method",
        "DPS",
        "--method.steps",
        2000,
        "--samples",
        4,
        "--batch_size",
        4,
        "--out",
        out,
    )
    wait_for(lambda: (out / "done.jsonl").exists(), sampling)
    sampling.send_signal(number)
    said = sampling.communicate(timeout=300)[1]
    assert sampling.returncode == 128 + number, said
    assert "the same command goes on from there" in said
    assert "Traceback" not in said
    assert not (out / NAME).exists()
