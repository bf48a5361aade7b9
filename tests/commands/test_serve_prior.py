"""`deft serve-prior`, and the commands that ask what it serves."""

import functools
import json
import os
import shlex
import signal
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from deft.priors.remote import RemotePrior, wire
from deft.priors.remote.card import Limits, served_card
from deft.priors.remote.connection import MARK
from tests.commands.conftest import tiny_prior
from tests.serving.served import TOKEN, answering

METHODS = """
methods:
  none:
    class_path: Unconditional
    init_args: {sampler: {class_path: DDIM, init_args: {steps: 2}}}
"""


@pytest.fixture(scope="module")
def server(prior_file, tmp_path_factory):
    """A server as a process of its own."""
    path = tmp_path_factory.mktemp("token") / "token"
    path.write_text(TOKEN)
    command = [sys.executable, "-m", "deft.cli", "serve-prior", "--prior", prior_file]
    process = subprocess.Popen(
        [*command, "--port", "0", "--token_file", str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={name: value for name, value in os.environ.items() if name != "DEFT_TOKEN"},
    )
    process.url = process.stdout.readline().split()[-1]
    yield process
    process.kill()


def test_train_sample_and_inspect_ask_it(
    deft, server, prior_file, image_folder, tmp_path, monkeypatch
):
    monkeypatch.setenv("DEFT_TOKEN", TOKEN)
    problem = ["--problem", "Inpainting", "--problem.masks", "box", "--problem.sigma_y", "0.05"]
    few = ["--steps", "2", "--batch_size", "2", "--validation_share", "0"]
    for name, prior in (("remote", server.url), ("local", prior_file)):
        out = ["--images", image_folder, "--out", tmp_path / name]
        code, said, error = deft("train", "--prior", prior, *problem, *out, *few)
        assert code == 0, error
        assert "prior tiny: " in said
    remote, local = (load_file(tmp_path / name / "h.safetensors") for name in ("remote", "local"))
    assert all(torch.equal(remote[name], local[name]) for name in local)
    drawn = ["--images", image_folder, "--samples", "1", "--steps", "2", "--limit", "1"]
    h = ["--h", tmp_path / "remote"]
    code, _, error = deft("sample", *h, *drawn, "--out", tmp_path / "none")
    assert code == 2
    assert "a server that a file names is not asked" in error
    code, _, error = deft(
        "sample", *h, "--prior", server.url, *drawn, "--out", tmp_path / "samples"
    )
    assert code == 0, error
    assert list((tmp_path / "samples").glob("*.npz"))
    (tmp_path / "evaluate.yaml").write_text(METHODS)
    some = ["--images", image_folder, "--samples", "2", "--limit", "2"]
    given = ["--config", tmp_path / "evaluate.yaml", "--prior", server.url, *problem, *some]
    code, _, error = deft("evaluate", *given, "--out", tmp_path / "results")
    assert code == 0, error
    assert json.loads((tmp_path / "results" / "results.json").read_text())
    code, said, error = deft("inspect", server.url)
    assert code == 0, error
    assert "a prior, RemotePrior" in said


def test_the_command_that_it_says_goes_on(deft, image_folder, tmp_path, monkeypatch):
    prior, left = tiny_prior(), [3]
    card = json.dumps(served_card(prior, Limits.of(prior, 8))).encode()

    def answer(path, body):
        if path == "/card":
            return 200, {MARK: "a"}, card
        left[0] -= 1
        tensors = wire.unpacked(body)
        found = {"x_0_hat": prior.denoise(tensors["x_t"], tensors["t"])}
        return (200, {MARK: "a"}, wire.packed(found)) if left[0] >= 0 else (503, {}, b"")

    monkeypatch.setattr(
        "deft.priors.remote.prior.RemotePrior", functools.partial(RemotePrior, patience=1)
    )
    problem = ["--problem", "Inpainting", "--problem.masks", "box", "--problem.sigma_y", "0.05"]
    few = ["--steps", "6", "--batch_size", "2", "--validation_share", "0"]
    with answering(answer) as url:
        out = ["--images", image_folder, "--out", tmp_path / "a run"]
        code, _, error = deft("train", "--prior", url, *problem, *out, *few)
        assert code == 2
        assert "did not answer for 1 s" in error
        assert "to step 3; the same call goes on" in error
        left[0] = 1 << 30
        command = shlex.split(error.rpartition("Go on with: ")[2])
        code, said, error = deft(*command[1:])
    assert code == 0, error
    assert "saved" in said


def test_it_ends_cleanly(server):
    server.send_signal(signal.SIGTERM)
    assert server.wait(60) == 143
    said = server.stderr.read()
    assert "stopped by SIGTERM; served " in said
    assert "Traceback" not in said
