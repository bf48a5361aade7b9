"""The measurement of priors of full size, on tiny ones."""

import json

import full_size
import pytest

from deft.priors import load
from tests.priors import latent_tiny


@pytest.mark.parametrize("latent", [True, False])
def test_what_is_measured(tmp_path, monkeypatch, capsys, latent):
    def make(folder):
        latent_tiny.pipeline(folder, network=latent_tiny.unet(block_out_channels=(16, 32)))
        return load(folder if latent else folder / "unet", schedule="linear")

    monkeypatch.setitem(full_size.MAKERS, "adm-256", make)
    monkeypatch.setattr(full_size, "FRACTION", 0.5)
    found = full_size.measured("adm-256")
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert last == found  # what is printed along the way is what is kept
    assert found["event_shape"] == [4, 8, 8]
    assert 0.2 < found["h_fraction"] < 1
    assert found["training_step_seconds"] > 0
    assert ("decode_seconds" in found) == latent
    assert 0 < found["peak_gib"]["training_step_seconds"] < 30
