"""Hub ids on the command line: what the user names is had from the cache where the network is off;
what a file names is not fetched.
"""

import json
import shutil
import socket

import pytest
from huggingface_hub import constants

from deft.pipeline.pipeline import DeftPipeline

YAML = """
methods:
  learned:
    class_path: DEFT
    init_args: {{checkpoint: {h}, sampler: {{class_path: DDIM, init_args: {{steps: 2}}}}}}
"""
PROBLEM = ["--problem", "Inpainting", "--problem.masks", "box", "--problem.sigma_y", "0.05"]
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def cached(run_folder, prior_file, tmp_path, monkeypatch):
    """The cache of the hub with owner/h, whose prior is hosted at owner/prior, and no network."""
    pipe = DeftPipeline.from_pretrained(run_folder, prior=prior_file)
    saved = pipe.save_pretrained(tmp_path / "saved", prior_from="owner/prior", sheet=False)
    repository = tmp_path / "cache" / "models--owner--h"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(COMMIT)
    shutil.copytree(saved, repository / "snapshots" / COMMIT)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(
        socket.socket, "connect", lambda *_: pytest.fail("something asked the network")
    )


@pytest.mark.usefixtures("cached")
def test_sample_and_evaluate_take_a_hub_id(deft, prior_file, image_folder, tmp_path):
    given = ["--images", image_folder, "--samples", "1", "--limit", "1", "--prior", prior_file]
    code, _, error = deft(
        "sample", "--h", "owner/h", "--steps", "2", *given, "--out", tmp_path / "samples"
    )
    assert code == 0, error
    assert list((tmp_path / "samples").glob("*.npz"))
    (tmp_path / "evaluate.yaml").write_text(YAML.format(h="owner/h"))
    config = ["--config", tmp_path / "evaluate.yaml"]
    code, _, error = deft("evaluate", *config, *PROBLEM, *given, "--out", tmp_path / "results")
    assert code == 0, error
    results = json.loads((tmp_path / "results" / "results.json").read_text())
    assert "learned" in json.dumps(results)


@pytest.mark.usefixtures("cached")
@pytest.mark.parametrize("command", ["sample", "adapt", "alarm", "conformal", "distil"])
def test_the_prior_on_its_card_is_not_fetched(deft, image_folder, tmp_path, command):
    more = {"adapt": PROBLEM, "distil": ["--steps_to", "2"]}.get(command, [])
    code, _, error = deft(
        command, "--h", "owner/h", *more, "--images", image_folder, "--out", tmp_path / "out"
    )
    assert code == 2
    assert "--prior: got owner/prior" in error
    assert "--prior owner/prior" in error
    assert not (tmp_path / "out" / "h.safetensors").exists()


@pytest.mark.usefixtures("cached")
@pytest.mark.parametrize("name", ["owner/other", "runs/freeform"])
def test_what_is_neither_here_nor_in_the_cache(deft, image_folder, tmp_path, name):
    code, _, error = deft(
        "sample", "--h", name, "--images", image_folder, "--out", tmp_path / "out"
    )
    assert code == 2
    assert f"{name} does not exist here, and h.safetensors of {name} could not be had" in error


@pytest.mark.usefixtures("cached")
def test_what_is_here_comes_first(deft, run_folder, image_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(run_folder, tmp_path / "owner" / "h")
    given = ["--images", image_folder, "--samples", "1", "--limit", "1", "--steps", "2"]
    code, _, error = deft("sample", "--h", "owner/h", *given, "--out", "samples")
    assert code == 0, error  # its prior is a file


@pytest.mark.usefixtures("cached")
def test_a_file_that_is_missing_is_no_hub_id(deft, image_folder, tmp_path):
    code, _, error = deft(
        "sample", "--h", "run/h.safetensors", "--images", image_folder, "--out", tmp_path / "out"
    )
    assert code == 2
    assert "run/h.safetensors does not exist, and no h-transform of that name ships" in error
