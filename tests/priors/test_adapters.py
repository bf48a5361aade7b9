import json

import pytest
import torch
from safetensors.torch import save_file

from deft.errors import CheckpointError, InvalidInput
from deft.priors import adapters, load
from deft.priors.details import Details
from deft.priors.diffusers_unet import DiffusersPrior
from tests.priors import test_denoising_diffusion_pytorch as ddp
from tests.priors.test_adm import network, saved
from tests.priors.test_genie import WEIGHTS, checkpoint
from tests.storage.test_weights_only import Evil

DETAILS = Details(
    image_size=8, num_head_channels=16, attention_order="legacy", value_range=(-1.0, 1.0)
)


@pytest.fixture
def path(tmp_path):
    return saved(tmp_path / "w.pt", network())


class TestLoad:
    """By the function that the command line calls."""

    def test_a_pt_and_a_safetensors_file(self, path, tmp_path):
        said = {"schedule": "linear", "prediction_type": "epsilon", "details": DETAILS}
        save_file(torch.load(path, weights_only=True), tmp_path / "w.safetensors")
        first, second = (load(str(p), **said) for p in (path, tmp_path / "w.safetensors"))
        assert isinstance(first, DiffusersPrior)
        assert first.identity() == second.identity()

    def test_an_option_that_is_not_used_is_refused(self, path):
        with pytest.raises(InvalidInput, match="subfolder"):
            load(path, subfolder="unet", details=DETAILS)
        with pytest.raises(InvalidInput, match="details"):
            load("digits-32", details=DETAILS)


class TestFamily:
    def test_of_each(self, path, tmp_path):
        other = ddp.trained(tmp_path / "model-1.pt", ddp.unet())
        chains = checkpoint(tmp_path)
        families = (path, "adm"), (other, "denoising_diffusion_pytorch"), (chains, "genie")
        for file, name in families:
            assert adapters.family_of(file, adapters.read(file)).name == name
        assert len({family.name for family in adapters.FAMILIES}) == len(adapters.FAMILIES)

    @pytest.mark.parametrize(
        ("names", "match"),
        [
            (["layer.weight", "layer.bias"], r"unknown family, which holds layer\.weight, layer"),
            (["model.diffusion_model.input_blocks.0.0.weight"], "from_single_file"),
            (["model.map_layer0.weight", "model.enc.32x32_conv.weight"], r"priors\.edm\.load"),
            (["conv_in.weight", "down_blocks.0.resnets.0.conv1.weight"], "save_pretrained"),
            (["x_embedder.proj.weight", "blocks.0.attn.qkv.weight"], "DiT"),
            (["input_blocks.0.0.weight"], "without its embedding of the time"),
            (
                [*WEIGHTS, "model.pair_feature_net.linear_motif_template.weight"],
                r"Genie 2.*deft\.CallableBackbone",
            ),
        ],
    )
    def test_what_is_not_loaded_says_what_was_found_and_what_is_supported(
        self, tmp_path, names, match
    ):
        torch.save({name: torch.zeros(2) for name in names}, tmp_path / "w.pt")
        with pytest.raises(adapters.Unknown, match=match) as caught:
            load(tmp_path / "w.pt")
        assert "adm" in str(caught.value)
        assert "denoising_diffusion_pytorch" in str(caught.value)

    def test_a_file_that_needs_code_executes_none(self, tmp_path):
        torch.save({"a": Evil(tmp_path / "executed")}, tmp_path / "w.pt")
        with pytest.raises(CheckpointError, match="not executed"):
            load(tmp_path / "w.pt")
        assert not (tmp_path / "executed").exists()


class TestSay:
    def said(self, path, **changes):
        return adapters.say(path, adapters.read(path), **changes)

    def test_what_the_file_says_and_what_it_does_not(self, path):
        said = self.said(path)
        assert said.rows["widths"] == "32, 64 with attention"
        assert set(said.beside.values()) == {None}
        assert not said.ready
        assert set(said.options) >= {"--details.num_head_channels", "--schedule"}

    def test_where_each_thing_is_said(self, path):
        path.with_suffix(".config.json").write_text(json.dumps({"num_head_channels": 16}))
        said = self.said(path, details=Details(image_size=8), schedule="cosine")
        assert said.beside["heads"] == ({"num_head_channels": 16}, "w.config.json")
        assert said.beside["image_size"] == (8, "given")
        assert said.beside["noise_schedule"] == ("cosine", "given")
        assert said.beside["value_range"] is None
        assert "--details.num_head_channels" not in said.options
        full = {"details": DETAILS, "schedule": "linear", "prediction_type": "epsilon"}
        assert self.said(path, **full).ready

    def test_genie_with_and_without_its_configuration(self, tmp_path):
        path = checkpoint(tmp_path)
        said = self.said(path)
        assert said.ready
        assert said.beside["max_length"] == (32, "configuration")
        assert "3 heads of 8" in said.rows["structure"]
        assert not said.options
        elsewhere = (tmp_path / "configuration").rename(tmp_path / "elsewhere")
        said = self.said(path)
        assert not said.ready
        assert said.options == {"--details.config": None}
        said = self.said(path, details=Details(config=str(elsewhere)))
        assert said.options == {"--details.config": str(elsewhere)}
        assert said.ready
