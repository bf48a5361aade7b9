"""Autoencoders of diffusers say through the codec what they say themselves."""

import json

import pytest
import torch

from deft.codec import CallableCodec
from deft.errors import CheckpointError, InvalidInput
from deft.priors.autoencoder import Autoencoder
from deft.priors.autoencoder_files import load
from tests.priors import latent_tiny as made

MEAN, STD = [0.1, -0.2, 0.3, 0.4], [1.5, 0.5, 2.0, 1.0]
FAMILIES = {
    "KL": (made.kl, {"scaling_factor": 0.18215}),
    "KL without quant_conv": (
        made.kl,
        {
            "use_quant_conv": False,
            "use_post_quant_conv": False,
            "scaling_factor": 1.5305,
            "shift_factor": 0.0609,
        },
    ),
    "KL of one standard deviation per channel": (
        made.kl,
        {"latents_mean": MEAN, "latents_std": STD, "scaling_factor": 0.5},
    ),
    "Tiny": (made.tiny, {"scaling_factor": 1.2, "shift_factor": 0.1}),
    "VQ": (made.vq, {"scaling_factor": 0.6}),
    "VQ of its latents": (
        made.vq,
        {
            "vq_embed_dim": None,
            "norm_type": "spatial",
            "block_out_channels": (32, 32),
            "norm_num_groups": 32,
        },
    ),
}
SHAPES = {"Tiny": (4, 4, 4), "VQ": (2, 8, 8), "VQ of its latents": (3, 8, 8)}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("name", FAMILIES)
def test_it_says_what_the_original_says(tmp_path, name, dtype):
    """Loaded by what the folder stores; the formulas are those of diffusers' own pipelines."""
    build, changes = FAMILIES[name]
    if name.startswith("KL"):
        changes = {**changes, "force_upcast": False}
    original = build(**changes).eval()
    original.save_pretrained(tmp_path)
    codec = load(tmp_path, SHAPES.get(name, (4, 8, 8)), dtype=dtype)
    original = original.to(dtype)
    assert codec.dtype == dtype
    x = torch.rand(3, *codec.signal_shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        out = original.encode(x.to(dtype))
        raw = (out.latent_dist.mode() if name.startswith("KL") else out.latents).float()
        scaling = changes.get("scaling_factor", original.config.scaling_factor)
        shift = changes.get("shift_factor") or 0.0
        if "latents_mean" in changes:
            mean, std = (torch.tensor(v).reshape(1, 4, 1, 1) for v in (MEAN, STD))
            z = (raw - mean) * scaling / std
            back = z * std / scaling + mean
        else:
            z = (raw - shift) * scaling
            back = z / scaling + shift
        decoded = original.decode(back.to(dtype)).sample.float()
        tolerance = 1e-5 if dtype == torch.float32 else 2e-3  # a rounding of half precision
        torch.testing.assert_close(codec.encode(x), z, rtol=tolerance, atol=tolerance)
        torch.testing.assert_close(codec.decode(z), decoded, rtol=tolerance, atol=tolerance)
    assert codec.encode(x).dtype == codec.decode(z).dtype == torch.float32


def test_one_that_overflows_in_half_computes_in_single(tmp_path):
    made.kl().save_pretrained(tmp_path)  # force_upcast is its default
    assert load(tmp_path, (4, 8, 8), dtype=torch.float16).dtype == torch.float32
    assert load(tmp_path, (4, 8, 8), dtype=torch.bfloat16).dtype == torch.bfloat16


def test_half_precision_files_are_read(tmp_path):
    made.kl().half().save_pretrained(tmp_path, variant="fp16")
    assert load(tmp_path, (4, 8, 8)).signal_shape == (3, 16, 16)


def test_sizes_follow_from_the_configuration(tmp_path):
    made.kl(
        block_out_channels=(4, 4, 4, 4),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        sample_size=64,
    ).save_pretrained(tmp_path)
    codec = load(tmp_path)
    assert (codec.spatial_factor, codec.event_shape, codec.signal_shape) == (
        8,
        (4, 8, 8),
        (3, 64, 64),
    )
    assert load(tmp_path, (4, 3, 5)).signal_shape == (3, 24, 40)


def test_the_gradient_passes_the_codebook_straight_through():
    codec = Autoencoder(made.vq(scaling_factor=0.5), (2, 8, 8))
    z = torch.randn(2, 2, 8, 8, generator=torch.Generator().manual_seed(0)).requires_grad_()
    x = codec.decode(z)
    v = torch.randn_like(x)
    found = torch.autograd.grad(x, z, v)[0]
    network = codec.network
    entry = network.quantize(2 * z.detach())[0].detach().requires_grad_()
    after = network.decoder(network.post_quant_conv(entry), None)
    expected = 2 * torch.autograd.grad(after, entry, v)[0]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(codec.decode(z.detach() + 1e-6), x.detach(), rtol=0, atol=1e-5)
    assert "straight through" in codec.about
    assert "16 entries" in codec.about


def test_a_few_are_coded_at_a_time_and_say_the_same():
    codec = Autoencoder(made.kl(), (4, 8, 8))
    z, seen = torch.randn(7, 4, 8, 8), []
    whole = codec.decode(z)
    codec.at_once = 3
    codec.network.decoder.register_forward_hook(lambda _, given, __: seen.append(len(given[0])))
    torch.testing.assert_close(codec.decode(z), whole, rtol=1e-4, atol=1e-5)
    assert seen == [3, 3, 1]
    assert Autoencoder(made.kl(), (4, 256, 256)).at_once == 1


def test_its_weights_are_frozen_and_part_of_what_it_is():
    codec = Autoencoder(made.kl(scaling_factor=0.25), (4, 8, 8))
    assert not any(p.requires_grad for p in codec.parameters())
    assert float(codec.factor) == 4
    assert codec.value_range == (-1.0, 1.0)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"_class_name": "AutoencoderDC"}, "_class_name"),
        ({"block_out_channels": [8, 10**9]}, "block_out_channels"),
        ({"latent_channels": -1}, "latent_channels"),
        ({"layers_per_block": "many"}, "layers_per_block"),
        ({"unheard_of": 1}, "unheard_of"),
        ({"scaling_factor": 0.0}, "scaling_factor"),
        ({"scaling_factor": float("inf")}, "config.json"),
        ({"shift_factor": "half"}, "shift_factor"),
        ({"latents_mean": [0.0] * 4}, "latents_mean"),
        ({"latents_mean": [0.0] * 3, "latents_std": [1.0] * 4}, "latents_mean"),
        ({"latents_mean": [0.0] * 4, "latents_std": [0.0] * 4}, "latents_std"),
        ({"out_channels": 1}, "out_channels"),
        ({"latent_channels": 8}, "latents of"),
        ({"down_block_types": ["NoBlock"] * 2}, "config.json"),
    ],
)
def test_a_configuration_that_is_none_is_refused_before_weights_are_read(tmp_path, change, what):
    made.kl().save_pretrained(tmp_path)
    (tmp_path / "diffusion_pytorch_model.safetensors").unlink()
    file = tmp_path / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises((InvalidInput, CheckpointError)) as raised:
        load(tmp_path, (4, 8, 8))
    assert what in raised.value.what


def test_tokens_are_no_latents(tmp_path):
    made.vq(lookup_from_codebook=True).save_pretrained(tmp_path)
    with pytest.raises(InvalidInput) as raised:
        load(tmp_path, (2, 8, 8))
    assert "lookup_from_codebook" in raised.value.what


def test_a_decoder_of_another_size_is_refused(tmp_path):
    made.tiny(upsampling_scaling_factor=4).save_pretrained(tmp_path)
    with pytest.raises(InvalidInput) as raised:
        load(tmp_path, (4, 4, 4))
    assert "16 times" in raised.value.given


@pytest.mark.parametrize("fault", ["missing", "extra", "nan", "damaged", "none"])
def test_weights_that_are_not_its_own_are_refused(tmp_path, fault):
    from safetensors.torch import load_file, save_file

    made.kl().save_pretrained(tmp_path)
    file = tmp_path / "diffusion_pytorch_model.safetensors"
    tensors = load_file(file)
    name = next(iter(tensors))
    if fault == "missing":
        del tensors[name]
    elif fault == "extra":
        tensors["another"] = torch.zeros(2)
    elif fault == "nan":
        tensors[name] = torch.full_like(tensors[name], torch.nan)
    save_file(tensors, file)
    if fault == "damaged":
        file.write_bytes(file.read_bytes()[:200])
    if fault == "none":
        file.unlink()
    with pytest.raises(CheckpointError):
        load(tmp_path, (4, 8, 8))


def test_one_of_ones_own():
    half = torch.nn.Linear(4, 2, bias=False)
    codec = CallableCodec(
        lambda z: z.flatten(1) @ half.weight,
        lambda x: x @ half.weight.T,
        (4,),
        (2,),
        module=half,
        at_once=2,
    )
    z = torch.randn(5, 2)
    torch.testing.assert_close(codec.decode(z), z @ half.weight)
    assert not half.weight.requires_grad
    for given, what in (
        ({"signal_shape": (3,)}, "decode"),
        ({"event_shape": (2,), "encode": lambda x: x}, "encode"),
        ({"gain": 0.0}, "gain"),
        ({"at_once": 0}, "at_once"),
        ({"value_range": (1.0, 1.0)}, "value_range"),
    ):
        arguments = {
            "decode": lambda z: z.flatten(1) @ half.weight,
            "encode": lambda x: x @ half.weight.T,
            "signal_shape": (4,),
            "event_shape": (2,),
        }
        with pytest.raises(InvalidInput) as raised:
            CallableCodec(**arguments | given)
        assert raised.value.what == what
