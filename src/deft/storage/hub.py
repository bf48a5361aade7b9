"""The Hugging Face hub: one file or a whole snapshot of a repository, and a folder that goes there.

Nothing here is asked unless the caller named the repository itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deft.errors import CheckpointError, InvalidInput

_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_NAMES = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model-*-of-*.safetensors")
_NETWORKS = tuple(f"{folder}{name}" for name in _NAMES for folder in ("", "*/"))
_VARIANTS = ("diffusion_pytorch_model.*.safetensors", "*/diffusion_pytorch_model.*.safetensors")
_TEXTS = ("tokenizer*/*", "text_encoder*/model.safetensors", "text_encoder*/model-*.safetensors")
_REVISION = re.compile(r"[A-Za-z0-9][\w./-]*")


def is_id(name: object) -> bool:
    """Whether a text may name a repository: owner/name."""
    return isinstance(name, str) and _ID.fullmatch(name) is not None and ".." not in name


def file(repository: str, name: str, revision: str | None = None) -> Path:
    """One file of a repository, downloaded or out of the cache. Raises `CheckpointError` where it
    cannot be had.
    """
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(repository, name, revision=checked(revision)))
    except InvalidInput:
        raise
    # the hub client raises its own errors, those of its HTTP library, OSError and ValueError
    except Exception as error:
        raise _refusal(f"{name} of {repository}", error) from error


def parted(name: str) -> tuple[str, str | None]:
    """The repository and the revision of owner/name or owner/name@revision. Raises `InvalidInput`
    for a revision that is none.
    """
    repository, at, revision = name.partition("@")
    return repository, checked(revision) if at else None


def snapshot(repository: str, revision: str | None = None) -> Path:
    """The folder of a network of diffusers at a revision, downloaded or out of the cache:
    configurations, weights, in safetensors where there are such, and in half precision where there
    are no others, and the encoders of its text. Raises `CheckpointError` where it cannot be had.
    """
    from huggingface_hub import snapshot_download

    def fetched(*patterns: str) -> Path:
        return Path(
            snapshot_download(repository, revision=checked(revision), allow_patterns=list(patterns))
        )

    try:
        local = fetched("*.json", "*/*.json", *_NETWORKS, *_TEXTS)
        if not any(local.glob("**/diffusion_pytorch_model*.safetensors")):
            local = fetched(*_VARIANTS)
        if not any(local.glob("**/diffusion_pytorch_model*.safetensors")):
            local = fetched(*(name.replace(".safetensors", ".bin") for name in _NETWORKS))
        return local
    except InvalidInput:
        raise
    except Exception as error:
        raise _refusal(repository, error) from error


def pushed(
    folder: Path,
    repository: str,
    *,
    private: bool | None = None,
    token: str | None = None,
    message: str = "An h-transform",
    create_pr: bool = False,
) -> str:
    """Put the files of a folder into a repository, which is made where there is none; the address
    of the commit. Raises `CheckpointError` where the hub refuses.
    """
    from huggingface_hub import HfApi

    named(repository)
    try:
        api = HfApi(token=token)
        api.create_repo(repository, private=private, exist_ok=True)
        commit = api.upload_folder(
            repo_id=repository, folder_path=folder, commit_message=message, create_pr=create_pr
        )
    except Exception as error:
        raise CheckpointError(
            f"{repository} could not be written to on the Hugging Face hub ({_line(error)})",
            advice="check the name, the token (hf auth login) and the connection; "
            "save_pretrained(folder) writes the same files, to be uploaded by hand",
        ) from error
    return str(getattr(commit, "commit_url", commit))


@contextmanager
def offline() -> Iterator[None]:
    """Within the block nothing is downloaded: what is in the cache is had, and nothing else."""
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def named(repository: object) -> str:
    """The name of a repository. Raises `InvalidInput` for what is none."""
    if not is_id(repository):
        raise InvalidInput(
            "repo_id", given=repository, expected="owner/name, a repository of the hub"
        )
    return str(repository)


def checked(revision: object) -> str | None:
    """A branch, a tag or a commit. Raises `InvalidInput` for what is none."""
    if revision is None:
        return None
    if not isinstance(revision, str) or not _REVISION.fullmatch(revision) or ".." in revision:
        raise InvalidInput("revision", given=revision, expected="a branch, a tag or a commit")
    return revision


def _refusal(what: str, error: Exception) -> CheckpointError:
    return CheckpointError(
        f"{what} could not be had from the Hugging Face hub ({_line(error)})",
        advice="check the name and the connection, or download it elsewhere and give the folder",
    )


def _line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
