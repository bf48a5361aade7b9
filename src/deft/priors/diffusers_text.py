"""What a network of diffusers is told where nothing is said: the embeddings of an empty prompt.

They are computed once, when a folder with text encoders is loaded, as the pipeline of its network
computes those of its unconditional half. transformers reads the encoders; their classes are named
here, never by the folder, and no code of a folder is executed.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from deft.errors import CheckpointError, first_line
from deft.priors.diffusers_files import TEXTS, factor, read_json

_ENCODERS = ("CLIPTextModel", "CLIPTextModelWithProjection", "T5EncoderModel")
_TOKENIZERS = {"CLIPTextModel": "CLIPTokenizer", "T5EncoderModel": "T5TokenizerFast"}


def has_texts(folder: Path) -> bool:
    """Whether a pipeline brings an encoder of prompts."""
    return any((folder / name / "config.json").is_file() for name in TEXTS)


def readable(folder: Path) -> bool:
    """Whether the encoders of a pipeline can be read here."""
    return has_texts(folder) and find_spec("transformers") is not None


@torch.no_grad()
def empty_prompt(folder: Path, network: nn.Module, size: tuple[int, int]) -> dict[str, Tensor]:
    """The context of an empty prompt, for a network whose signals have this height and width; none
    for a network that takes no prompt, or where no pipeline is known for its encoders.

    Raises `CheckpointError` for encoders that cannot be read.
    """
    parts = [name for name in TEXTS if (folder / name / "config.json").is_file()]
    how = _PIPELINES.get((type(network).__name__, "text_encoder_2" in parts))
    if how is None or not parts:
        return {}
    try:
        with _quiet():
            encoders = {name: _encoder(folder / name) for name in parts}
            tokenizers = {
                name.replace("text_encoder", "tokenizer"): _tokenizer(folder, name, encoder)
                for name, encoder in encoders.items()
            }
            return how(folder, network, {**encoders, **tokenizers}, size)
    except CheckpointError:
        raise
    # transformers raises OSError, ValueError, RuntimeError, KeyError and others for damaged files
    except Exception as error:
        raise CheckpointError(
            f"the text encoders of {folder} could not be read ({first_line(error)})",
            advice="save or download them again, or give the context that they would make "
            "(context=)",
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the bars and the advice of transformers."""
    logging = import_module("transformers.utils.logging")
    bars, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _encoder(folder: Path) -> Any:
    config = read_json(folder / "config.json", f"{folder} is empty")
    known = [name for name in config.get("architectures") or () if name in _ENCODERS]
    if not known:
        raise CheckpointError(
            f"{folder / 'config.json'}: architectures",
            given=config.get("architectures"),
            expected=f"one of {', '.join(_ENCODERS)}",
            advice="give the context that it would make (context=)",
        )
    cls = getattr(import_module("transformers"), known[0])
    return cls.from_pretrained(folder, local_files_only=True, use_safetensors=True).eval()


def _tokenizer(folder: Path, name: str, encoder: Any) -> Any:
    kind = _TOKENIZERS[type(encoder).__name__.removesuffix("WithProjection")]
    place = folder / name.replace("text_encoder", "tokenizer")
    return getattr(import_module("transformers"), kind).from_pretrained(
        place, local_files_only=True
    )


def _pipeline(name: str, **parts: Any) -> Any:
    home = {"StableDiffusion": "stable_diffusion", "Flux": "flux"}
    home |= {"StableDiffusionXL": "stable_diffusion_xl", "StableDiffusion3": "stable_diffusion_3"}
    module = import_module(f"diffusers.pipelines.{home[name]}.pipeline_{home[name]}")
    return getattr(module, f"{name}Pipeline")(vae=None, scheduler=None, **parts)


def _of_sd(folder: Path, network: nn.Module, parts: dict[str, Any], size: Any) -> dict[str, Tensor]:
    pipeline = _pipeline(
        "StableDiffusion",
        unet=network,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
        **parts,
    )
    _, empty = pipeline.encode_prompt("", torch.device("cpu"), 1, True)
    return {"encoder_hidden_states": empty}


def _of_sdxl(
    folder: Path, network: nn.Module, parts: dict[str, Any], size: tuple[int, int]
) -> dict[str, Tensor]:
    index = folder / "model_index.json"
    said = read_json(index, "") if index.is_file() else {}
    parts = {"text_encoder": None, "tokenizer": None, **parts}
    pipeline = _pipeline(
        "StableDiffusionXL",
        unet=network,
        force_zeros_for_empty_prompt=bool(said.get("force_zeros_for_empty_prompt", True)),
        add_watermarker=False,
        **parts,
    )
    _, empty, _, pooled = pipeline.encode_prompt("", device=torch.device("cpu"))
    height, width = (n * factor(folder) for n in size)
    ids = torch.tensor([[height, width, 0, 0, height, width]], dtype=torch.float32)
    return {"encoder_hidden_states": empty, "text_embeds": pooled, "time_ids": ids}


def _of_sd3(
    folder: Path, network: nn.Module, parts: dict[str, Any], size: Any
) -> dict[str, Tensor]:
    parts = {"text_encoder_3": None, "tokenizer_3": None, **parts}
    pipeline = _pipeline("StableDiffusion3", transformer=network, **parts)
    _, empty, _, pooled = pipeline.encode_prompt("", "", "", device=torch.device("cpu"))
    return {"encoder_hidden_states": empty, "pooled_projections": pooled}


def _of_flux(
    folder: Path, network: nn.Module, parts: dict[str, Any], size: Any
) -> dict[str, Tensor]:
    pipeline = _pipeline("Flux", transformer=network, **parts)
    empty, pooled, _ = pipeline.encode_prompt("", "", device=torch.device("cpu"))
    return {"encoder_hidden_states": empty, "pooled_projections": pooled}


_PIPELINES: dict[tuple[str, bool], Callable[..., dict[str, Tensor]]] = {
    ("UNet2DConditionModel", False): _of_sd,
    ("UNet2DConditionModel", True): _of_sdxl,
    ("SD3Transformer2DModel", True): _of_sd3,
    ("FluxTransformer2DModel", True): _of_flux,
}
"""By the class of the network, and whether there is a second encoder."""
