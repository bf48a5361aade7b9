"""The empty prompt of a folder with text encoders is what its own pipeline computes."""

import json
import sys

import pytest
import torch

from deft.errors import CheckpointError, InvalidInput
from deft.priors.diffusers import load
from tests.priors import diffusers_tiny as tiny

transformers = pytest.importorskip("transformers")
diffusers = pytest.importorskip("diffusers")


def sd(folder):
    tiny.saved(folder, tiny.conditioned(), tiny.betas(), pipeline="StableDiffusionPipeline")
    tiny.with_autoencoder(folder)
    tiny.clip(folder, "text_encoder", 12)
    return folder


def sdxl(folder, **more):
    network = tiny.conditioned(
        cross_attention_dim=20,
        addition_embed_type="text_time",
        addition_time_embed_dim=4,
        projection_class_embeddings_input_dim=6 * 4 + 8,
    )
    tiny.saved(folder, network, tiny.betas(), pipeline="StableDiffusionXLPipeline", **more)
    tiny.with_autoencoder(folder)
    tiny.clip(folder, "text_encoder", 12)
    tiny.clip(folder, "text_encoder_2", 8, projection=8)
    return folder


def sd3(folder, t5=True):
    flow = diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0)
    tiny.saved(folder, tiny.sd3(), flow, pipeline="StableDiffusion3Pipeline")
    tiny.with_autoencoder(folder)
    tiny.clip(folder, "text_encoder", 12, projection=12)
    tiny.clip(folder, "text_encoder_2", 8, projection=8)
    if t5:
        tiny.t5(folder, "text_encoder_3", 24)
    return folder


def test_stable_diffusion(tmp_path):
    """Token by token: begin, end, padding; through the encoder itself."""
    prior = load(sd(tmp_path))
    assert not prior.lacks
    found = prior.context.values["encoder_hidden_states"]
    assert found.shape == (1, 77, 12)
    encoder = transformers.CLIPTextModel.from_pretrained(tmp_path / "text_encoder").eval()
    tokens = torch.full((1, 77), tiny.END)
    tokens[0, 0] = tiny.BEGIN
    with torch.no_grad():
        expected = encoder(tokens).last_hidden_state
    torch.testing.assert_close(found, expected)
    assert prior.event_shape == (4, 8, 8)
    assert prior.value_range is None


@pytest.mark.parametrize("zeros", [True, False])
def test_xl(tmp_path, zeros):
    prior = load(sdxl(tmp_path, force_zeros_for_empty_prompt=zeros))
    values = prior.context.values
    assert not prior.lacks
    assert values["time_ids"].tolist() == [[16, 16, 0, 0, 16, 16]]
    assert values["encoder_hidden_states"].shape == (1, 77, 20)
    assert values["text_embeds"].shape == (1, 8)
    assert bool((values["encoder_hidden_states"] == 0).all()) == zeros
    x, t = torch.randn(2, 4, 8, 8), torch.tensor([0.5], dtype=torch.float64)
    assert bool(prior.denoise(x, t).isfinite().all())


def test_sd3(tmp_path):
    """The two CLIPs side by side, T5 after them, as the paper has it (arXiv:2403.03206)."""
    prior = load(sd3(tmp_path))
    values = prior.context.values
    assert values["encoder_hidden_states"].shape == (1, 77 + 256, 24)
    assert bool((values["encoder_hidden_states"][:, :77, 20:] == 0).all())
    assert not bool((values["encoder_hidden_states"][:, 77:] == 0).all())
    assert values["pooled_projections"].shape == (1, 20)


def test_sd3_without_t5(tmp_path):
    values = load(sd3(tmp_path, t5=False)).context.values
    assert bool((values["encoder_hidden_states"][:, 77:] == 0).all())


def test_flux(tmp_path):
    dynamic = diffusers.FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True)
    tiny.saved(tmp_path, tiny.flux(), dynamic, pipeline="FluxPipeline")
    tiny.clip(tmp_path, "text_encoder", 20)
    tiny.t5(tmp_path, "text_encoder_2", 24)
    values = load(tmp_path, image_size=8).context.values
    assert values["encoder_hidden_states"].shape == (1, 512, 24)
    assert values["pooled_projections"].shape == (1, 20)


def test_a_context_that_is_given_is_not_computed(tmp_path, monkeypatch):
    monkeypatch.setattr("deft.priors.diffusers.empty_prompt", lambda *args: pytest.fail("asked"))
    given = {"encoder_hidden_states": torch.randn(1, 3, 12)}
    assert load(sd(tmp_path), context=given).context.values["encoder_hidden_states"].shape[1] == 3
    assert load(tmp_path, context={}).lacks


def test_without_transformers_the_tensors_are_named(tmp_path, monkeypatch):
    folder = sd3(tmp_path)
    monkeypatch.setitem(sys.modules, "transformers", None)
    monkeypatch.setattr("deft.priors.diffusers_text.find_spec", lambda name: None)
    prior = load(folder)
    with pytest.raises(InvalidInput) as raised:
        prior.denoise(torch.zeros(1, 4, 8, 8), torch.tensor([0.5]))
    expected = "encoder_hidden_states (any, 24); pooled_projections (20)"
    assert expected in raised.value.expected


@pytest.mark.parametrize("damage", ["weights", "class", "tokenizer"])
def test_encoders_that_cannot_be_read(tmp_path, damage):
    folder = sd(tmp_path)
    if damage == "weights":
        (folder / "text_encoder" / "model.safetensors").write_bytes(b"0" * 30)
    elif damage == "class":
        file = folder / "text_encoder" / "config.json"
        content = json.loads(file.read_text()) | {"architectures": ["MyEncoder"]}
        file.write_text(json.dumps(content))
    else:
        for file in (folder / "tokenizer").iterdir():
            file.unlink()
    with pytest.raises(CheckpointError) as raised:
        load(folder)
    assert "context=" in raised.value.advice


def test_no_pickle_of_an_encoder_is_read(tmp_path):
    folder = sd(tmp_path)
    weights = folder / "text_encoder" / "model.safetensors"
    weights.unlink()
    torch.save({"a": torch.zeros(1)}, weights.with_name("pytorch_model.bin"))
    with pytest.raises(CheckpointError, match="text encoders"):
        load(folder)
