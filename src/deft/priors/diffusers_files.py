"""The files of a network saved by diffusers: its folder, local or fetched from the hub, on its own
or in a pipeline, its configurations and the variant of its weights.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from deft.errors import CheckpointError, InvalidInput
from deft.storage import hub
from deft.storage.bounded_json import parsed

AUTOENCODERS = ("vae", "vqvae", "movq")
TEXTS = ("text_encoder", "text_encoder_2", "text_encoder_3")
_OTHERS = ("prior", "controlnet", "image_encoder", "image_normalizer")  # of which it is one part
_NAME = "diffusion_pytorch_model"
_SHARD = re.compile(r"-\d{5}-of-\d{5}")


def is_pipeline(folder: Path) -> bool:
    """Whether a folder holds networks in folders of their own."""
    return (folder / "model_index.json").is_file() or bool(_networks(folder))


def autoencoder(folder: Path) -> Path | None:
    """The folder of the autoencoder whose latents the network of a pipeline is one of; None for
    pixels. Raises `CheckpointError` where a pipeline names one that is not there.
    """
    found = [folder / name for name in AUTOENCODERS if (folder / name / "config.json").is_file()]
    if found:
        return found[0]
    named = [name for name in AUTOENCODERS if _part(folder, name)]
    if named:
        raise CheckpointError(
            f"{folder / named[0]}",
            given="nothing",
            expected="the autoencoder that model_index.json names: config.json and its weights",
        )
    return None


def factor(folder: Path) -> int:
    """How many pixels one place of the signals stands for, in height and in width: 1 for pixels,
    8 for the latents of Stable Diffusion.
    """
    place = autoencoder(folder)
    if place is None:
        return 1
    config = read_json(place / "config.json", f"{place} is missing")
    channels = config.get("block_out_channels", config.get("encoder_block_out_channels"))
    if not isinstance(channels, list) or not 1 <= len(channels) <= 16:
        raise InvalidInput(
            f"{place / 'config.json'}: block_out_channels",
            given=channels,
            expected="a list of 1 to 16 whole numbers",
        )
    result: int = 2 ** (len(channels) - 1)
    return result


def network_folder(folder: Path, given: str | Path, subfolder: str | None) -> Path:
    """Where the network is. Raises `InvalidInput` for a pipeline of which it is one part among
    others, and where there are several and none was named.
    """
    parts = sorted(part for part in _OTHERS if _part(folder, part))
    if parts:
        raise InvalidInput(
            f"{given}",
            given=f"a {_index(folder).get('_class_name', 'pipeline')} with {', '.join(parts)}",
            expected="one network of images or their latents, told no other image",
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


def _index(folder: Path) -> dict[str, Any]:
    file = folder / "model_index.json"
    return read_json(file, "") if file.is_file() else {}


def _part(folder: Path, name: str) -> bool:
    """Whether a pipeline has this part: a folder, or an entry that is not null."""
    entry = _index(folder).get(name)
    named = isinstance(entry, list) and any(one is not None for one in entry)
    return named or (folder / name).is_dir()


def _networks(folder: Path) -> list[str]:
    """The folders below that hold a network."""
    return sorted(
        path.parent.name
        for path in folder.glob("*/config.json")
        if path.parent.name.startswith(("unet", "transformer")) or path.parent.name.endswith("unet")
    )


def variant_of(root: Path, given: str | Path, wanted: str | None = None) -> str | None:
    """The variant of the weights in a folder: the one `wanted`, none, or "fp16", say, where that is
    all there is. Raises `CheckpointError` where there are no such weights.
    """
    there = _variants(root)
    if wanted in there and (wanted is not None or None in there):
        unreadable = [file for file in root.glob(f"{_NAME}*") if not os.access(file, os.R_OK)]
        if unreadable:
            raise CheckpointError(f"{unreadable[0]} cannot be read: permission denied.")
        return wanted
    if wanted is None and len(there) == 1:
        return next(iter(there))
    names = sorted(str(name) for name in there if name is not None)
    found = ", ".join(sorted(file.name for file in root.iterdir() if file.is_file())[:8])
    raise CheckpointError(
        f"the weights of {given}",
        given=found or "an empty folder",
        expected=f"{_NAME}.safetensors, as save_pretrained writes it"
        if not names
        else f"one variant of {', '.join(names)}",
        advice="" if not names else f"give variant={names[0]!r}",
    )


def _variants(root: Path) -> set[str | None]:
    """The variants that a folder holds; None for the weights without a name of their own."""
    found: set[str | None] = set()
    for file in root.glob(f"{_NAME}*"):
        rest = _SHARD.sub("", file.name.removeprefix(_NAME))
        if not rest.endswith((".safetensors", ".bin", ".json")):
            continue
        parts = [
            part
            for part in rest.split(".")[1:]
            if part not in ("safetensors", "bin", "json", "index")
        ]
        found.add(parts[0] if parts else None)
    return found


def local_folder(given: str | Path, revision: str | None = None) -> Path:
    """The local folder of `given`, downloaded if it is a hub id, at a revision (owner/name@revision
    says one too).
    """
    folder = Path(given).expanduser()
    if folder.is_dir():
        if revision is not None:
            raise InvalidInput(
                "revision",
                given=revision,
                expected=f"nothing: {given} is a folder",
                advice="leave `revision` out",
            )
        if not os.access(folder, os.R_OK | os.X_OK):
            raise CheckpointError(f"{given} cannot be read: permission denied.")
        return folder
    if folder.is_file():
        raise InvalidInput(
            f"{given} is a file; give the folder that save_pretrained wrote, or a hub id such as "
            "google/ddpm-celebahq-256."
        )
    text = str(given)
    of_hub = text.partition("@")[0].count("/") <= 1 and not text.startswith((".", "/", "~"))
    if isinstance(given, Path) or not of_hub:
        raise InvalidInput(
            f"there is no folder {given}; give the folder that save_pretrained wrote, or a hub id "
            "such as google/ddpm-celebahq-256."
        )
    repository, said = hub.parted(text)
    try:
        return hub.snapshot(repository, revision or said)
    except CheckpointError as error:
        raise CheckpointError(
            f"{text} is no local folder, and {str(error).removeprefix(text).lstrip()}"
        ) from error


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
