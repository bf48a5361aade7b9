"""Tiny autoencoders and pipelines of diffusers with random weights, saved as it saves them."""

import json

import torch
from diffusers import AutoencoderKL, AutoencoderTiny, DDIMScheduler, UNet2DModel, VQModel


def kl(**changes):
    torch.manual_seed(1)
    config = {
        "in_channels": 3,
        "out_channels": 3,
        "down_block_types": ("DownEncoderBlock2D",) * 2,
        "up_block_types": ("UpDecoderBlock2D",) * 2,
        "block_out_channels": (8, 8),
        "norm_num_groups": 4,
        "latent_channels": 4,
        "sample_size": 16,
    }
    return AutoencoderKL(**config | changes)


def tiny(**changes):
    torch.manual_seed(2)
    config = {
        "encoder_block_out_channels": (8, 8, 8),
        "decoder_block_out_channels": (8, 8, 8),
        "num_encoder_blocks": (1, 1, 1),
        "num_decoder_blocks": (1, 1, 1),
    }
    return AutoencoderTiny(**config | changes)


def vq(**changes):
    torch.manual_seed(3)
    config = {
        "down_block_types": ("DownEncoderBlock2D",) * 2,
        "up_block_types": ("UpDecoderBlock2D",) * 2,
        "block_out_channels": (8, 8),
        "norm_num_groups": 4,
        "latent_channels": 3,
        "vq_embed_dim": 2,
        "num_vq_embeddings": 16,
        "sample_size": 16,
    }
    return VQModel(**config | changes)


def unet(**changes):
    torch.manual_seed(4)
    config = {
        "sample_size": 8,
        "in_channels": 4,
        "out_channels": 4,
        "layers_per_block": 1,
        "block_out_channels": (8, 8),
        "down_block_types": ("DownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "UpBlock2D"),
        "norm_num_groups": 4,
    }
    return UNet2DModel(**config | changes)


def scheduler():
    return DDIMScheduler(
        beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, clip_sample=False
    )


def pipeline(folder, autoencoder=None, network=None, name="vae"):
    """A folder as `save_pretrained` of an unconditional latent pipeline writes it."""
    parts = {
        name: kl() if autoencoder is None else autoencoder,
        "unet": unet() if network is None else network,
        "scheduler": scheduler(),
    }
    for part, module in parts.items():
        module.save_pretrained(folder / part)
    index = {part: ["diffusers", type(module).__name__] for part, module in parts.items()}
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "LDMPipeline", **index}))
    return folder
