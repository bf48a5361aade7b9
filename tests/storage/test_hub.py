"""The hub, with a fake in its place: no test has a network."""

from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import huggingface_hub
import pytest

from deft.errors import CheckpointError, InvalidInput
from deft.storage import hub


@pytest.mark.parametrize("name", ["owner/name", "a/b", "google/ddpm-cifar10-32", "o.k/n_1"])
def test_names_of_repositories(name):
    assert hub.is_id(name)
    assert hub.named(name) == name


@pytest.mark.parametrize(
    "name", ["name", "a/b/c", "./a", "a/..b", "/a/b", "a/", "", None, 3, Path("a/b"), "a b/c"]
)
def test_names_that_are_none(name):
    assert not hub.is_id(name)
    with pytest.raises(InvalidInput) as raised:
        hub.named(name)
    assert raised.value.what == "repo_id"


@pytest.mark.parametrize("revision", ["../main", "", 3, "-x", "a b", "main..x"])
def test_revisions_that_are_none(revision):
    for ask in (
        lambda: hub.checked(revision),
        lambda: hub.file("a/b", "h.safetensors", revision),
        lambda: hub.snapshot("a/b", revision),
    ):
        with pytest.raises(InvalidInput) as raised:
            ask()
        assert raised.value.what == "revision"


def test_files_and_snapshots(monkeypatch, tmp_path):
    asked = []

    def answer(*names, **options):
        asked.append((*names, options["revision"]))
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", answer)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", answer)
    assert hub.file("a/b", "h.safetensors", "v1") == tmp_path
    assert hub.snapshot("a/b") == tmp_path
    # the usual weights, a variant of them, .bin
    assert asked == [("a/b", "h.safetensors", "v1"), *[("a/b", None)] * 3]
    (tmp_path / "unet").mkdir()
    (tmp_path / "unet" / "diffusion_pytorch_model.safetensors").touch()
    hub.snapshot("a/b", "v2")
    assert asked[4:] == [("a/b", "v2")]


def test_without_a_network():
    """HF_HUB_OFFLINE is set in tests: the client raises at once."""
    for ask in (lambda: hub.file("nobody/none", "h.safetensors"), lambda: hub.snapshot("no/none")):
        with pytest.raises(CheckpointError, match="could not be had from the Hugging Face hub"):
            ask()


class Api:
    """What a folder's files would be sent to."""

    seen: ClassVar[list] = []
    refuses = False

    def __init__(self, token=None):
        self.token = token

    def create_repo(self, name, private=None, exist_ok=False):
        assert exist_ok
        self.seen.append(("made", name, private, self.token))

    def upload_folder(self, *, repo_id, folder_path, commit_message, create_pr):
        if self.refuses:
            raise PermissionError("403: not yours\nand more")
        files = sorted(path.name for path in Path(folder_path).iterdir())
        self.seen.append((repo_id, files, commit_message, create_pr))
        return SimpleNamespace(commit_url=f"https://hub/{repo_id}/commit/1")


@pytest.fixture
def api(monkeypatch):
    fake = type("Fake", (Api,), {"seen": []})
    monkeypatch.setattr(huggingface_hub, "HfApi", fake)
    return fake


def test_a_folder_that_goes_there(api, tmp_path):
    (tmp_path / "README.md").write_text("x")
    url = hub.pushed(tmp_path, "a/b", private=True, token="t", message="m", create_pr=True)
    assert url == "https://hub/a/b/commit/1"
    assert api.seen == [("made", "a/b", True, "t"), ("a/b", ["README.md"], "m", True)]


def test_a_hub_that_refuses(api, tmp_path):
    api.refuses = True
    with pytest.raises(CheckpointError, match="PermissionError: 403: not yours") as raised:
        hub.pushed(tmp_path, "a/b")
    assert "save_pretrained" in raised.value.advice
    assert "\n" not in str(raised.value)
