import errno
from pathlib import Path

import pytest
import torch

from deft.errors import CheckpointError, InvalidInput
from deft.priors import adm, zoo
from deft.priors import diffusers as ours
from deft.priors.diffusers_export import export
from tests.priors.test_adm import ALL, LAYOUTS, network, saved
from tests.priors.test_diffusers import betas, unet

diffusers = pytest.importorskip("diffusers")


def prior(folder, layout="plain", **changes):
    shape = LAYOUTS[layout]
    return adm.load(saved(folder / "w.pt", network(shape), shape), **{**ALL, **changes})


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_folder_is_the_prior_for_us_and_for_diffusers(tmp_path, layout):
    first = prior(tmp_path, layout)
    folder = export(first, tmp_path / "folder")
    second = ours.load(folder)
    if first.takes:
        first, second = (p.given(class_labels=torch.tensor([1])) for p in (first, second))
    x_t = torch.randn(2, *first.event_shape)
    for t in (0.0, 0.31, 1.0):
        time = torch.full((2,), t, dtype=torch.float64)
        torch.testing.assert_close(
            second.denoise(x_t, time), first.denoise(x_t, time), rtol=1e-5, atol=1e-5
        )
    pipeline = diffusers.DDPMPipeline.from_pretrained(folder)
    labels = {"class_labels": torch.tensor([1, 1])} if first.takes else {}
    with torch.no_grad():
        there, here = (
            net(x_t, torch.tensor([3, 900]), **labels).sample for net in (pipeline.unet, first.unet)
        )
    torch.testing.assert_close(there, here, rtol=0, atol=1e-6)
    alphas = pipeline.scheduler.alphas_cumprod.double()
    t = torch.linspace(0, 1, 1000, dtype=torch.float64)
    torch.testing.assert_close(alphas, first.schedule.alpha(t) ** 2, rtol=1e-4, atol=1e-7)


def test_a_folder_of_diffusers_goes_round(tmp_path):
    for name, net, scheduler in (
        ("ddpm", unet(), betas(prediction_type="v_prediction", clip_sample=False)),
        ("ve", unet(time_embedding_type="fourier"), diffusers.ScoreSdeVeScheduler()),
    ):
        net.save_pretrained(tmp_path / name / "unet")
        scheduler.save_pretrained(tmp_path / name / "scheduler")
        first = ours.load(tmp_path / name)
        second = ours.load(export(first, tmp_path / f"{name}-2"))
        assert second.identity() == {**first.identity(), "name": f"{name}-2"}
        assert second.value_range == first.value_range


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"value_range": (0.0, 1.0)}, "value_range"),
        ({"diffusion_steps": 4000, "rescale_timesteps": True}, "told to the network as 1000 k / n"),
    ],
)
def test_what_a_configuration_cannot_say_is_refused(tmp_path, changes, match):
    with pytest.raises(InvalidInput, match=match):
        export(prior(tmp_path, **changes), tmp_path / "folder")
    assert not (tmp_path / "folder").exists()


def test_heads_of_several_sizes_are_refused(tmp_path):
    shape = LAYOUTS["improved"]
    path = saved(tmp_path / "w.pt", network(shape, lambda width, up: 4), shape)
    first = adm.load(path, **{**ALL, "num_head_channels": None, "num_heads": 4})
    with pytest.raises(InvalidInput, match="heads of one size"):
        export(first, tmp_path / "folder")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["w.pt"]


def test_a_prior_that_has_no_such_form_is_refused(tmp_path):
    with pytest.raises(InvalidInput, match="no class of diffusers computes another"):
        export(zoo.load(zoo.names()[0]), tmp_path / "folder")


def test_what_is_there_stays(tmp_path, monkeypatch):
    first = prior(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    with pytest.raises(InvalidInput, match="new, or empty"):
        export(first, tmp_path / "full")
    (tmp_path / "empty").mkdir()
    assert export(first, tmp_path / "empty").is_dir()

    def full(self, *_):
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(CheckpointError, match="the disk is full"):
        export(first, tmp_path / "other")
    assert not list(tmp_path.glob(".other*"))
