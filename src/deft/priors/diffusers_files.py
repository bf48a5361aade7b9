"""The files of a network saved by diffusers: its folder, local or fetched from the hub, on its own
or in a pipeline, its configurations and the variant of its weights.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from deft.errors import CheckpointError, InvalidInput
from deft.priors.diffusers_unet import first_line
from deft.storage.bounded_json import parsed

_LATENT = (
    "vae",
    "vqvae",
    "movq",
    "text_encoder",
    "text_encoder_2",
    "tokenizer",
    "transformer",
    "prior",
    "image_encoder",
    "feature_extractor",
)


def network_folder(folder: Path, given: str | Path, subfolder: str | None) -> Path:
    """Where the network is. Raises `InvalidInput` for a latent pipeline, and where there are
    several and none was named.
    """
    index = (
        read_json(folder / "model_index.json", "")
        if (folder / "model_index.json").is_file()
        else {}
    )
    parts = sorted(
        part for part in _LATENT if (folder / part).is_dir() or isinstance(index.get(part), list)
    )
    if parts:
        raise InvalidInput(
            f"{given}",
            given=f"a {index.get('_class_name', 'pipeline')} with {', '.join(parts)}",
            expected="a network of pixels: this one works on latents or embeddings, which are not "
            "images",
        )
    if subfolder is not None:
        if not (folder / subfolder / "config.json").is_file() or ".." in Path(subfolder).parts:
            raise InvalidInput(
                "subfolder",
                given=subfolder,
                expected=f"one of {', '.join(_networks(folder)) or 'none'}, in {given}",
            )
        return folder / subfolder
    networks = _networks(folder)
    if len(networks) > 1:
        advice = (
            f"give subfolder={next((name for name in networks if 'ema' in name), networks[0])!r}, "
            "say; averaged (ema) weights usually sample better"
        )
        raise InvalidInput(
            f"{given}",
            given=f"several networks: {', '.join(networks)}",
            expected="one",
            advice=advice,
        )
    return folder / networks[0] if networks else folder


def _networks(folder: Path) -> list[str]:
    """The folders below that hold a network."""
    return sorted(
        path.parent.name
        for path in folder.glob("*/config.json")
        if path.parent.name.startswith("unet") or path.parent.name.endswith("unet")
    )


def variant_of(root: Path, given: str | Path) -> str | None:
    """The variant of the weights in a folder: none, or "fp16" where that is all there is. Raises
    `CheckpointError` where there are no weights.
    """
    kinds = ("safetensors", "bin", "safetensors.index.json", "bin.index.json")
    if any((root / f"diffusion_pytorch_model.{kind}").is_file() for kind in kinds):
        unreadable = [
            file for file in root.glob("diffusion_pytorch_model.*") if not os.access(file, os.R_OK)
        ]
        if unreadable:
            raise CheckpointError(f"{unreadable[0]} cannot be read: permission denied.")
        return None
    variants = sorted(
        {
            file.name.split(".")[1]
            for file in root.glob("diffusion_pytorch_model.*.safetensors")
            if "-of-" not in file.name
        }
    )
    if len(variants) == 1:
        return variants[0]
    found = ", ".join(sorted(file.name for file in root.iterdir() if file.is_file())[:8])
    raise CheckpointError(
        f"the weights of {given}",
        given=found or "an empty folder",
        expected="diffusion_pytorch_model.safetensors, as save_pretrained writes it",
    )


def local_folder(given: str | Path) -> Path:
    """The local folder of `given`, downloaded if it is a hub id."""
    folder = Path(given).expanduser()
    if folder.is_dir():
        if not os.access(folder, os.R_OK | os.X_OK):
            raise CheckpointError(f"{given} cannot be read: permission denied.")
        return folder
    if folder.is_file():
        raise InvalidInput(
            f"{given} is a file; give the folder that save_pretrained wrote, or a hub id such as "
            "google/ddpm-celebahq-256."
        )
    text = str(given)
    if isinstance(given, Path) or text.startswith((".", "/", "~")) or text.count("/") > 1:
        raise InvalidInput(
            f"there is no folder {given}; give the folder that save_pretrained wrote, or a hub id "
            "such as google/ddpm-celebahq-256."
        )
    from huggingface_hub import snapshot_download

    try:
        patterns = [
            "*.json",
            "*/*.json",
            "diffusion_pytorch_model.safetensors",
            "unet/diffusion_pytorch_model.safetensors",
        ]
        local = Path(snapshot_download(text, allow_patterns=patterns))
        if not any(local.glob("**/diffusion_pytorch_model.safetensors")):
            snapshot_download(
                text,
                allow_patterns=["diffusion_pytorch_model.bin", "unet/diffusion_pytorch_model.bin"],
            )
    # the hub client raises its own errors, those of its HTTP library, OSError and ValueError
    except Exception as error:
        raise CheckpointError(
            f"{text} is no local folder, and could not be had from the Hugging Face hub "
            f"({first_line(error)}). Check the name and the connection, or download it "
            "elsewhere and give the folder."
        ) from error
    return local


def read_json(file: Path, missing: str) -> dict[str, Any]:
    """The object in a file. Raises `InvalidInput` with `missing` where there is none, and
    `CheckpointError` where it cannot be read.
    """
    try:
        content = parsed(file.read_bytes(), str(file))
    except FileNotFoundError as error:
        raise InvalidInput(f"{missing}.") from error
    except OSError as error:
        raise CheckpointError(f"{file} cannot be read ({error.strerror or error}).") from error
    except InvalidInput as error:
        raise CheckpointError(
            f"{file} is no readable JSON", given=error.given, expected=error.expected
        ) from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{file}", given=content, expected="a JSON object")
    return content
