"""Tiny networks of every family of diffusers that is read, with random weights, in the folders that
diffusers itself writes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import diffusers
import torch

BLOCKS = {"block_out_channels": (8, 16), "layers_per_block": 1, "norm_num_groups": 4}


def plain(**changes):
    torch.manual_seed(0)
    config = {
        "sample_size": 8,
        "in_channels": 1,
        "out_channels": 1,
        "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
        "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
        "attention_head_dim": 8,
    }
    return moved(diffusers.UNet2DModel(**BLOCKS | config | changes))


def conditioned(**changes):
    torch.manual_seed(0)
    config = {
        "sample_size": 8,
        "in_channels": 4,
        "out_channels": 4,
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
        "cross_attention_dim": 12,
        "attention_head_dim": 4,
    }
    return moved(diffusers.UNet2DConditionModel(**BLOCKS | config | changes))


def dit(**changes):
    torch.manual_seed(0)
    config = {
        "num_attention_heads": 2,
        "attention_head_dim": 8,
        "in_channels": 4,
        "out_channels": 8,
        "num_layers": 2,
        "sample_size": 8,
        "num_embeds_ada_norm": 10,
        "norm_num_groups": 4,
    }
    return moved(diffusers.DiTTransformer2DModel(**config | changes))


def sd3(**changes):
    torch.manual_seed(0)
    config = {
        "sample_size": 8,
        "in_channels": 4,
        "out_channels": 4,
        "num_layers": 2,
        "attention_head_dim": 8,
        "num_attention_heads": 2,
        "joint_attention_dim": 24,
        "caption_projection_dim": 16,
        "pooled_projection_dim": 20,
        "pos_embed_max_size": 8,
    }
    return moved(diffusers.SD3Transformer2DModel(**config | changes))


def flux(**changes):
    torch.manual_seed(0)
    config = {
        "in_channels": 16,
        "num_layers": 1,
        "num_single_layers": 1,
        "attention_head_dim": 16,
        "num_attention_heads": 2,
        "joint_attention_dim": 24,
        "pooled_projection_dim": 20,
        "axes_dims_rope": (4, 6, 6),
    }
    return moved(diffusers.FluxTransformer2DModel(**config | changes))


def moved(network):
    """With every weight away from zero, so that nothing that is told can go unnoticed."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return network.eval()


def saved(folder: Path, network, scheduler, **more) -> Path:
    """A pipeline folder: model_index.json, the network, the scheduler."""
    part = "unet" if "UNet" in type(network).__name__ else "transformer"
    network.save_pretrained(folder / part)
    scheduler.save_pretrained(folder / "scheduler")
    index = {
        "_class_name": more.pop("pipeline", "DiffusionPipeline"),
        part: ["diffusers", type(network).__name__],
        "scheduler": ["diffusers", type(scheduler).__name__],
    }
    (folder / "model_index.json").write_text(json.dumps(index | more))
    return folder


def with_autoencoder(folder: Path, channels: int = 4, **changes) -> Path:
    """An autoencoder that halves height and width beside the network."""
    torch.manual_seed(1)
    config = {
        "in_channels": 3,
        "out_channels": 3,
        "down_block_types": ("DownEncoderBlock2D",) * 2,
        "up_block_types": ("UpDecoderBlock2D",) * 2,
        "block_out_channels": (4, 4),
        "latent_channels": channels,
        "norm_num_groups": 2,
    }
    diffusers.AutoencoderKL(**config | changes).save_pretrained(folder / "vae")
    index = folder / "model_index.json"
    said = json.loads(index.read_text()) | {"vae": ["diffusers", "AutoencoderKL"]}
    index.write_text(json.dumps(said))
    return folder


BEGIN, END = 2, 3


def clip(folder: Path, name: str, width: int, projection: int | None = None) -> None:
    """A tiny CLIP text model and its tokenizer, which knows few letters."""
    import transformers

    torch.manual_seed(2)
    config = transformers.CLIPTextConfig(
        vocab_size=6,
        hidden_size=width,
        intermediate_size=8,
        num_hidden_layers=2,
        num_attention_heads=2,
        projection_dim=projection or width,
        bos_token_id=BEGIN,
        eos_token_id=END,
        pad_token_id=END,
    )
    cls = transformers.CLIPTextModel
    if projection is not None:
        cls = transformers.CLIPTextModelWithProjection
    cls(config).save_pretrained(folder / name)
    place = folder / name.replace("text_encoder", "tokenizer")
    place.mkdir()
    vocabulary = {"a": 0, "a</w>": 1, "<|startoftext|>": BEGIN, "<|endoftext|>": END}
    (place / "vocab.json").write_text(json.dumps(vocabulary))
    (place / "merges.txt").write_text("#version: 0.2\n")
    (place / "tokenizer_config.json").write_text(
        json.dumps({"model_max_length": 77, "tokenizer_class": "CLIPTokenizer"})
    )


def t5(folder: Path, name: str, width: int) -> None:
    """A tiny T5 encoder and its tokenizer, which knows few letters."""
    import transformers
    from tokenizers import Tokenizer, models

    torch.manual_seed(2)
    config = transformers.T5Config(
        vocab_size=8, d_model=width, d_kv=4, d_ff=8, num_layers=1, num_heads=2
    )
    transformers.T5EncoderModel(config).save_pretrained(folder / name)
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("a", -1.0)]
    place = folder / name.replace("text_encoder", "tokenizer")
    transformers.T5TokenizerFast(
        tokenizer_object=Tokenizer(models.Unigram(pieces, 2)), extra_ids=0
    ).save_pretrained(place)


def betas(**changes):
    return diffusers.DDIMScheduler(num_train_timesteps=100, **changes)


@dataclass(frozen=True)
class Case:
    """A network, its scheduler, what it is told, and how its own pipeline asks it."""

    name: str
    network: object
    scheduler: object
    context: dict
    ask: object
    size: int | None = None


def _context(**shapes):
    generator = torch.Generator().manual_seed(3)
    return {name: torch.randn(1, *shape, generator=generator) for name, shape in shapes.items()}


def _flux(network, x, told, context):
    from diffusers import FluxPipeline

    n, c, h, w = x.shape
    out = network(
        hidden_states=FluxPipeline._pack_latents(x, n, c, h, w),
        timestep=told / 1000,
        img_ids=FluxPipeline._prepare_latent_image_ids(n, h // 2, w // 2, "cpu", x.dtype),
        txt_ids=torch.zeros(context["encoder_hidden_states"].shape[1], 3),
        **context,
    ).sample
    return FluxPipeline._unpack_latents(out, 8 * h, 8 * w, 8)


def _condition(network, x, told, context):
    added = {name: context[name] for name in ("text_embeds", "time_ids") if name in context}
    return network(
        x,
        told,
        encoder_hidden_states=context["encoder_hidden_states"],
        class_labels=context.get("class_labels"),
        added_cond_kwargs=added,
    ).sample


def _told(network, x, told, context):
    return network(x, told, **context).sample


def _transformer(network, x, told, context):
    return network(hidden_states=x, timestep=told, **context).sample


def cases() -> list[Case]:
    """Made when a test asks, since diffusers is slow to import."""
    flow = diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0)
    dynamic = diffusers.FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True)
    prompt = _context(encoder_hidden_states=(5, 24), pooled_projections=(20,))
    text = _context(encoder_hidden_states=(7, 12))
    return [
        Case("plain", plain(), betas(), {}, _told),
        Case("ddpm-v", plain(), betas(prediction_type="v_prediction"), {}, _told),
        Case("edm", plain(), diffusers.EDMEulerScheduler(), {}, _told),
        Case(
            "classes",
            plain(num_class_embeds=5),
            betas(),
            {"class_labels": torch.tensor([3])},
            _told,
        ),
        Case(
            "class-numbers",
            plain(class_embed_type="timestep"),
            betas(),
            {"class_labels": torch.tensor([31.0])},
            _told,
        ),
        Case(
            "class-embeddings",
            plain(class_embed_type="identity"),
            betas(),
            _context(class_labels=(32,)),
            _told,
        ),
        Case("variance", plain(out_channels=2), betas(), {}, _told),
        Case("sd", conditioned(), betas(beta_schedule="scaled_linear"), text, _condition),
        Case(
            "sdxl",
            conditioned(
                addition_embed_type="text_time",
                addition_time_embed_dim=4,
                projection_class_embeddings_input_dim=6 * 4 + 10,
            ),
            betas(),
            {**text, **_context(text_embeds=(10,)), "time_ids": torch.tensor([[16.0] * 6])},
            _condition,
        ),
        Case(
            "projected-classes",
            conditioned(class_embed_type="projection", projection_class_embeddings_input_dim=9),
            betas(),
            {**text, **_context(class_labels=(9,))},
            _condition,
        ),
        Case("dit", dit(), betas(), {"class_labels": torch.tensor([4])}, _transformer),
        Case("sd3", sd3(), flow, prompt, _transformer),
        Case("flux", flux(), dynamic, prompt, _flux, 8),
        Case(
            "flux-guidance",
            flux(guidance_embeds=True),
            dynamic,
            {**prompt, "guidance": torch.tensor([3.5])},
            _flux,
            8,
        ),
    ]
