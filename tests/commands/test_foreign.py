"""`deft inspect` of foreign files, `deft export`, and the commands that take them as a prior."""

import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from deft.priors import diffusers
from tests.commands.conftest import save_images
from tests.priors import test_denoising_diffusion_pytorch as ddp
from tests.priors.test_adm import network, saved
from tests.priors.test_genie import checkpoint
from tests.storage.test_weights_only import Evil

GOLDEN = Path(__file__).parents[1] / "golden"
SAID = shlex.split(
    "--schedule linear --prediction_type epsilon --details.num_head_channels 16 "
    "--details.attention_order legacy --details.image_size 8 --details.value_range [-1,1]"
)


@pytest.fixture
def path(tmp_path):
    return saved(tmp_path / "w.pt", network())


@pytest.fixture
def small_images(tmp_path):
    return save_images(tmp_path / "images", 2, size=(8, 8))


class TestInspect:
    def test_what_is_not_in_the_file(self, deft, path):
        code, said, _ = deft("inspect", path)
        assert code == 0
        assert said.count("not in the file") == 7  # six things, and the advice
        assert "32, 64 with attention" in said
        assert f"deft train --prior {path} --details.num_head_channels N" in said

    def test_the_command_that_it_prints_is_one_that_runs(self, deft, path, tmp_path, small_images):
        code, said, _ = deft("inspect", path, *SAID)
        assert code == 0
        assert "not in the file" not in said
        line = next(line for line in said.splitlines() if line.startswith("deft train"))
        words = line.replace("FOLDER", str(small_images)).replace("RUN", str(tmp_path / "run"))
        short = ["--steps", "1", "--batch_size", "1", "--validation_share", "0"]
        code, _, wrong = deft(*shlex.split(words)[1:], *short)
        assert (code, (tmp_path / "run" / "h.safetensors").is_file()) == (0, True), wrong

    def test_a_file_of_no_known_family(self, deft, tmp_path):
        torch.save({"layer.weight": torch.ones(3)}, tmp_path / "w.pt")
        code, said, _ = deft("inspect", tmp_path / "w.pt")
        assert code == 0
        assert "family         not known: a checkpoint of an unknown family" in said
        assert "supported      a file of deft, a folder that diffusers' save" in said
        assert "adm: weights of a U-Net of guided-diffusion" in said
        assert "build the network in Python, load these weights, and wrap it" in said
        assert "3 in 1 tensors" in said

    def test_a_file_of_a_package(self, deft, tmp_path):
        code, said, _ = deft("inspect", ddp.trained(tmp_path / "m.pt", ddp.unet()))
        assert code == 0
        assert "dim=4, init_dim=6" in said
        assert "schedule       100 betas" in said

    def test_a_protein_backbone_prior(self, deft, tmp_path):
        path = checkpoint(tmp_path)
        code, said, _ = deft("inspect", path)
        assert code == 0
        assert "family         genie" in said
        assert "most residues  32, by configuration" in said
        assert "26,736 in 136 tensors" in said
        assert "deft train --prior" in said
        assert "--problem MotifScaffolding --images CHAINS" in said
        code, _, said = deft("inspect", path, "--images", save_images(tmp_path / "i", 4, (8, 8)))
        assert code == 2
        assert "of protein backbones" in said
        assert "deft scaffold" in said

    def test_code_is_not_executed(self, deft, tmp_path):
        torch.save({"a": Evil(tmp_path / "executed")}, tmp_path / "w.pt")
        code, _, said = deft("inspect", tmp_path / "w.pt")
        assert code == 2
        assert "mkdir" in said
        assert not (tmp_path / "executed").exists()


class TestExport:
    def test_the_folder_is_a_prior(self, deft, path, tmp_path):
        out = tmp_path / "folder"
        code, said, _ = deft("export", path, "--to", "diffusers", "--out", out, *SAID)
        assert code == 0
        assert str(out) in said
        assert diffusers.load(out).event_shape == (1, 8, 8)
        assert deft("inspect", out)[0] == 0

    def test_what_has_no_such_form_is_refused(self, deft, prior_file, tmp_path: Path):
        code, _, said = deft("export", prior_file, "--out", tmp_path / "folder")
        assert code == 2
        assert "(UNetPrior)" in said
        assert not (tmp_path / "folder").exists()


class TestImages:
    """`deft inspect CHECKPOINT --images FOLDER`, with a small network trained on digits."""

    RIGHT = shlex.split(
        "--schedule linear --prediction_type epsilon --details.image_size 16 "
        "--details.attention_order legacy --details.value_range [-1,1]"
    )

    @pytest.fixture
    def digits(self, tmp_path):
        folder = tmp_path / "digits"
        folder.mkdir()
        for k, pixels in enumerate(np.load(GOLDEN / "adm_digits.npy")[:8]):
            Image.fromarray(pixels).save(folder / f"{k}.png")
        return folder

    def test_wrong_heads_are_named(self, deft, digits):
        code, said, _ = deft(
            "inspect",
            GOLDEN / "adm_digits.safetensors",
            *self.RIGHT,
            "--details.num_heads",
            1,
            "--images",
            digits,
        )
        assert code == 0
        assert "testing this on 8 images" in said
        assert "doubted: heads num_heads 1. With num_heads 2 the error falls by" in said
        assert said.count("doubted: ") == 1
