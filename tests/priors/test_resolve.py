import json

import pytest
import torch

from deft.errors import CheckpointError, InvalidInput
from deft.priors import resolve
from deft.schedules import VPTabulated
from tests.priors.test_diffusers import betas, unet


def test_a_name_out_of_a_file_is_not_downloaded(monkeypatch):
    import huggingface_hub

    monkeypatch.setattr(
        huggingface_hub, "snapshot_download", lambda *given, **named: pytest.fail("asked the hub")
    )
    with pytest.raises(InvalidInput) as raised:
        resolve.load("someone/x", fetch=False)
    assert raised.value.given == "someone/x"
    assert "prior='someone/x'" in raised.value.advice
    assert resolve.load("digits-32", fetch=False).name == "digits-32"


@pytest.mark.parametrize(
    "name", ["http://127.0.0.1:9", "HTTPS://127.0.0.1:9/x", "localhost:8000", "ftp://host"]
)
def test_a_server_out_of_a_file_is_not_asked(monkeypatch, name):
    monkeypatch.setattr(
        "http.client.HTTPConnection.connect", lambda *given: pytest.fail("asked a server")
    )
    with pytest.raises(InvalidInput) as raised:
        resolve.load(name, fetch=False)
    assert raised.value.given == name
    assert "a server that a file names is not asked" in raised.value.expected


def test_a_server_that_is_typed_is_asked():
    from deft.serving import running
    from tests.serving.served import labelled

    with running(labelled()) as (url, _):
        prior = resolve.load(url, labels=[2])
        assert prior.name == "labelled"
        assert prior.context.values["class_labels"].tolist() == [2]
        with pytest.raises(InvalidInput, match="a server"):
            resolve.load(url, subfolder="unet")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("weights.pt", "a folder that diffusers' save_pretrained wrote"),
        ("unet/diffusion_pytorch_model.safetensors", "the folder that holds it"),
        ("nowhere/at/all", "a file or folder that exists"),
        ("missing.pt", "a file or folder that exists"),
    ],
)
def test_what_is_there_is_told(tmp_path, name, expected):
    unet().save_pretrained(tmp_path / "unet")
    torch.save({"a": torch.zeros(1)}, tmp_path / "weights.pt")
    with pytest.raises(InvalidInput) as raised:
        resolve.load(str(tmp_path / name))
    assert expected in raised.value.expected


def test_what_a_folder_does_not_say_is_said(tmp_path):
    unet(num_class_embeds=3).save_pretrained(tmp_path / "unet")
    with pytest.raises(InvalidInput, match="Give `schedule`"):
        resolve.load(tmp_path)
    prior = resolve.load(tmp_path, schedule="cosine", prediction_type="v_prediction", labels=[1])
    assert isinstance(prior.schedule, VPTabulated)
    assert prior.identity()["prediction"] == "v_prediction"
    assert prior.num_observations == 1
    with pytest.raises(InvalidInput) as raised:
        resolve.load(tmp_path, schedule="cosin")
    assert "cosine" in raised.value.advice
    with pytest.raises(InvalidInput, match="whole numbers from 0 to 2"):
        resolve.load(tmp_path, schedule="linear", labels=[3])


@pytest.mark.parametrize("option", ["subfolder", "schedule", "prediction_type"])
def test_an_option_that_is_not_used_is_refused(option):
    with pytest.raises(InvalidInput) as raised:
        resolve.load("digits-32", **{option: "linear"})
    assert raised.value.what == option
    with pytest.raises(InvalidInput, match="is unconditional"):
        resolve.load("digits-32", labels=[0])


def test_permission_denied_is_said(tmp_path, monkeypatch):
    unet().save_pretrained(tmp_path)
    betas().save_pretrained(tmp_path)
    (tmp_path / "config.json").read_text()
    monkeypatch.setattr("os.access", lambda *given, **named: False)
    with pytest.raises(CheckpointError, match="permission denied"):
        resolve.load(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())
