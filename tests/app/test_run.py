"""The page as a server: what is missing and what is taken is said; the rest is in test_browser."""

import importlib
import socket

import pytest
from huggingface_hub import constants

from deft.app import run
from deft.errors import InvalidInput
from tests.app import shown


@pytest.mark.parametrize("missing", ["gradio", "fastapi", "uvicorn"])
def test_a_package_that_is_missing_is_named(monkeypatch, missing):
    usual = importlib.import_module

    def without(name):
        if name == missing:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return usual(name) if name != "gradio" else None

    monkeypatch.setattr(run, "import_module", without)
    with pytest.raises(InvalidInput) as raised, run.running((shown.DIGITS,), port=0):
        pass
    assert raised.value.given == f"no {missing}"
    assert "deft-diffusion[app]" in raised.value.advice


def test_a_port_that_is_taken():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(InvalidInput) as raised, run.running((shown.DIGITS,), port=port):
            pass
    assert raised.value.what == "port"


def test_nothing_is_downloaded_meanwhile_and_the_folder_goes(monkeypatch):
    seen = []
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)

    def application(names, prior, allow, device, limits, folder):
        seen.append((constants.HF_HUB_OFFLINE, folder, folder.stat().st_mode & 0o777))
        raise InvalidInput("stop here")

    monkeypatch.setattr(run, "_application", application)
    with pytest.raises(InvalidInput, match="stop here"), run.running((shown.DIGITS,), port=0):
        pass
    ((offline, folder, mode),) = seen
    assert offline is True
    assert mode == 0o700
    assert not folder.exists()
    assert constants.HF_HUB_OFFLINE is False
