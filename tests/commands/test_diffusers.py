"""The commands that docs/checkpoints.md gives for folders of diffusers, as they are, with tiny
random networks in the same folders; and what the file of an h-transform remembers.
"""

import json
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from deft.cli import main
from deft.training import checkpoint
from tests.commands.conftest import save_images
from tests.data.slices import stack, write_dicom
from tests.priors import diffusers_tiny as tiny
from tests.priors import test_diffusers_text as texts
from tests.priors.test_adm import network, saved

diffusers = pytest.importorskip("diffusers")
DOCS = Path(__file__).parents[2] / "docs" / "checkpoints.md"
SHORT = {
    "train": "--steps 2 --batch_size 2 --validation_share 0 --fraction 0.5",
    "sample": "--samples 1 --steps 2",
    "inspect": "",
}


def documented(heading):
    """The commands under a heading, as they are written."""
    section = re.split(r"^#+ ", DOCS.read_text(), flags=re.M)
    (body,) = [part for part in section if part.startswith(f"{heading}\n")]
    return [line.strip() for line in body.splitlines() if line.startswith("    deft ")]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder to type in, with the hub's cache beside it and no network."""
    import huggingface_hub.constants

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    save_images(tmp_path / "PICTURES", 2, colour=True)
    (tmp_path / "SCANS").mkdir()
    for k in range(3):
        slice_ = stack(1, 16, 16, seed=k)[0] + 1024
        write_dicom(tmp_path / "SCANS" / f"{k}.dcm", slice_, place=float(k))
    return tmp_path


def cached(here, name):
    """The folder of a repository in the cache."""
    home = here / "cache" / f"models--{name.replace('/', '--')}"
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text("1" * 40)
    folder = home / "snapshots" / ("1" * 40)
    folder.mkdir(parents=True)
    return folder


def ran(deft, line):
    """What a documented command says; short, and with less of a problem where it is too large."""
    words = shlex.split(line)[1:]
    code, said, wrong = deft(*words, *shlex.split(SHORT[words[0]]))
    assert code == 0, f"{line}\n{wrong}"
    return said


def dit(folder):
    tiny.saved(folder, tiny.dit(), tiny.betas(), pipeline="DiTPipeline")
    return tiny.with_autoencoder(folder)


@pytest.mark.parametrize(
    ("heading", "repository", "made"),
    [
        ("Stable Diffusion 1.5", "stable-diffusion-v1-5/stable-diffusion-v1-5", texts.sd),
        ("Stable Diffusion 3", "stabilityai/stable-diffusion-3-medium-diffusers", texts.sd3),
        ("DiT", "facebook/DiT-XL-2-256", dit),
    ],
)
def test_latents(deft, here, heading, repository, made):
    made(cached(here, repository))
    inspect, train, sample = documented(heading)
    said = ran(deft, inspect)
    assert "latents        4x8x8" in said
    assert "3x16x16" in said
    ran(deft, train)
    card = checkpoint.read_card(here / "RUN" / "h.safetensors")
    assert card["prior_from"] == repository
    assert ("context" in card["prior"]) == (heading != "DiT")
    ran(deft, sample)
    drawn = np.load(next((here / "SAMPLES").glob("*.npz")))
    assert drawn["samples"].shape == (1, 3, 16, 16)
    assert np.isfinite(drawn["samples"]).all()


@pytest.mark.parametrize("whole", [False, True])
def test_ct(deft, here, whole):
    """The network alone, and as a pipeline, which says its schedule itself."""
    unet = tiny.plain(sample_size=16)
    if whole:
        diffusers.DDPMPipeline(unet, diffusers.DDPMScheduler()).save_pretrained(here / "DM4CT")
    else:
        unet.save_pretrained(here / "DM4CT")
    said_so = " --schedule linear --prediction_type epsilon"
    lines = documented("A prior of CT slices")
    inspect, train, sample = [line.replace(said_so, "") if whole else line for line in lines]
    said = ran(deft, inspect)
    assert "1x16x16, values in (-1.0, 1.0)" in said
    assert f"deft train --prior DM4CT{'' if whole else said_so}" in said
    ran(deft, train)
    card = checkpoint.read_card(here / "RUN" / "h.safetensors")
    assert card["units"]["window"] == [-1024, 3071]
    details = {"details": {"value_range": [-1, 1]}}
    more = {} if whole else {"schedule": "linear", "prediction_type": "epsilon"}
    assert card["prior_options"] == details | more
    ran(deft, sample)
    assert len(list((here / "SAMPLES").glob("*.npz"))) == 3


PROBLEM = "--problem Inpainting --problem.masks box --problem.sigma_y 0.05"


@pytest.fixture
def sd3(here):
    """A folder without its encoders, and a context for it."""
    texts.sd3(here / "sd3")
    for part in [*(here / "sd3").glob("text_encoder*"), *(here / "sd3").glob("tokenizer*")]:
        shutil.rmtree(part)
    case = next(case for case in tiny.cases() if case.name == "sd3")
    save_file(case.context, here / "context.safetensors")
    save_file({k: v + 1 for k, v in case.context.items()}, here / "other.safetensors")
    return here / "sd3"


class TestContext:
    TRAIN = f"deft train --prior sd3 {PROBLEM} --images PICTURES --out RUN"
    SAMPLE = "deft sample --h RUN --images PICTURES --out SAMPLES"

    def test_it_is_needed_once(self, deft, here, sd3):
        said = ran(deft, "deft inspect sd3")
        assert "encoder_hidden_states (any, 24)" in said
        assert "deft train --prior sd3 --context FILE.safetensors" in said
        code, _, wrong = deft(*shlex.split(self.TRAIN)[1:])
        assert code == 2
        assert "pooled_projections (20)" in wrong
        assert "--context FILE.safetensors" in wrong
        ran(deft, f"{self.TRAIN} --context context.safetensors")
        (here / "context.safetensors").rename(here / "again.safetensors")
        ran(deft, self.SAMPLE)
        first = np.load(next((here / "SAMPLES").glob("*.npz")))["samples"]
        ran(deft, f"{self.SAMPLE}2 --context again.safetensors")
        second = np.load(next((here / "SAMPLES2").glob("*.npz")))["samples"]
        np.testing.assert_array_equal(first, second)
        code, _, wrong = deft(*shlex.split(f"{self.SAMPLE}3 --context other.safetensors")[1:])
        assert code == 2
        assert "--context: got another encoder_hidden_states" in wrong

    def test_the_pipeline_takes_it_too(self, deft, here, sd3):
        import deft as library

        ran(deft, f"{self.TRAIN} --context context.safetensors")
        pipe = library.DeftPipeline.from_pretrained(str(here / "RUN"))
        told = pipe.prior.context.values["pooled_projections"]
        assert told.shape == (1, 20)
        pipe.save_pretrained(here / "saved", sheet=False)
        again = library.DeftPipeline.from_pretrained(here / "saved")
        assert torch.equal(again.prior.context.values["pooled_projections"], told)
        assert again.prior.identity() == pipe.prior.identity()

    @pytest.mark.parametrize(
        ("file", "says"),
        [
            ("nowhere.safetensors", "that exists"),
            ("PICTURES/00.png", "a safetensors file"),
            ("broken.safetensors", "cannot be read"),
            ("shape.safetensors", "pooled_projections"),
            ("name.safetensors", "prompt"),
            ("half.safetensors", "does not hold all"),
        ],
    )
    def test_a_wrong_one(self, deft, here, sd3, file, says):
        prompt = torch.zeros(1, 5, 24)
        (here / "broken.safetensors").write_bytes(b"0" * 20)
        save_file(
            {"encoder_hidden_states": prompt, "pooled_projections": torch.zeros(1, 3)},
            here / "shape.safetensors",
        )
        save_file({"prompt": prompt}, here / "name.safetensors")
        save_file({"encoder_hidden_states": prompt}, here / "half.safetensors")
        code, _, wrong = deft(*shlex.split(f"{self.TRAIN} --context {file}")[1:])
        assert code == 2
        assert says in wrong


@pytest.mark.filterwarnings("ignore:.*distilled")
def test_guidance_that_was_distilled_is_said(deft, here):
    case = next(case for case in tiny.cases() if case.name == "flux-guidance")
    tiny.with_autoencoder(tiny.saved(here / "flux", case.network, case.scheduler))
    said = ran(deft, "deft inspect flux --details.image_size 16")
    assert "no mean of x_0 under a density" in said
    assert "RectifiedFlow" in said
    assert "deft train --prior flux --details.image_size 16 --context FILE.safetensors" in said


class TestRemembered:
    """What a checkpoint of another program does not say is said once."""

    SAID = (
        "--schedule linear --prediction_type epsilon --details.num_head_channels 16 "
        "--details.attention_order legacy --details.image_size 8 --details.value_range [-1,1]"
    )
    TRAIN = f"deft train --prior w.pt {PROBLEM} --images SMALL --out RUN"
    SAMPLE = "deft sample --h RUN --images SMALL --out SAMPLES"

    @pytest.fixture(scope="class")
    def once(self, tmp_path_factory):
        """A run with all details typed, in a folder of its own."""
        folder = tmp_path_factory.mktemp("trained")
        saved(folder / "w.pt", network())
        save_images(folder / "SMALL", 2, size=(8, 8))
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            words = shlex.split(f"{self.TRAIN} {self.SAID} {SHORT['train']}")
            assert main(words[1:]) == 0
        return folder

    @pytest.fixture
    def trained(self, once, monkeypatch):
        monkeypatch.chdir(once)
        return once

    def test_it_need_not_be_said_again(self, deft, trained):
        ran(deft, self.SAMPLE)
        first = np.load(trained / "SAMPLES" / "00.npz")["samples"]
        ran(deft, f"{self.SAMPLE}2 {self.SAID}")
        np.testing.assert_array_equal(first, np.load(trained / "SAMPLES2" / "00.npz")["samples"])

    @pytest.mark.parametrize(
        ("more", "says"),
        [
            ("--details.num_head_channels 32", "--details.num_head_channels: got 32; expected 16"),
            ("--details.attention_order new", "--details.attention_order: got new"),
            ("--schedule cosine", "--schedule: got cosine; expected linear"),
            ("--prediction_type sample", "--prediction_type: got sample; expected epsilon"),
        ],
    )
    def test_another_one_is_named(self, deft, trained, more, says):
        code, _, wrong = deft(*shlex.split(f"{self.SAMPLE} {more}")[1:])
        assert code == 2
        assert says in wrong

    def test_a_file_of_details_is_remembered_by_what_it_holds(self, deft, here):
        saved(here / "w.pt", network())
        save_images(here / "SMALL", 2, size=(8, 8))
        content = {
            "num_head_channels": 16,
            "attention_order": "legacy",
            "image_size": 8,
            "value_range": [-1, 1],
            "noise_schedule": "linear",
            "prediction_type": "epsilon",
        }
        (here / "said.json").write_text(json.dumps(content))
        ran(deft, f"{self.TRAIN} --details.config said.json")
        (here / "said.json").unlink()
        ran(deft, self.SAMPLE)
        card = checkpoint.read_card(here / "RUN" / "h.safetensors")
        assert card["prior_options"] == {"details": {"config": content}}

    def test_what_begins_from_it_remembers_too(self, deft, trained):
        ran(deft, f"{self.TRAIN}2 --initial RUN")
        found = [checkpoint.read_card(trained / run / "h.safetensors") for run in ("RUN", "RUN2")]
        assert found[0]["prior_options"] == found[1]["prior_options"]

    def test_classes_are_those_of_the_training(self, deft, here):
        tiny.saved(here / "classes", tiny.plain(sample_size=16, num_class_embeds=5), tiny.betas())
        save_images(here / "GREY", 2)
        train = f"deft train --prior classes {PROBLEM} --images GREY --out RUN"
        ran(deft, f"{train} --labels 3")
        sample = "deft sample --h RUN --images GREY --out SAMPLES"
        ran(deft, sample)
        ran(deft, f"{sample}2 --labels 3")
        ran(deft, f"{sample}3 --labels 4")
        drawn = [np.load(here / f"SAMPLES{n}" / "00.npz")["samples"] for n in ("", "2", "3")]
        np.testing.assert_array_equal(drawn[0], drawn[1])
        assert not np.array_equal(drawn[0], drawn[2])
