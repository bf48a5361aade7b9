import hashlib

import numpy as np
import pytest
import torch
from torch import nn

from deft.errors import CheckpointError, InvalidInput
from deft.metrics import fid, frechet_distance, kernel_distance, kid, lpips

ALEX = {0: (64, 3, 11), 3: (192, 64, 5), 6: (384, 192, 3), 8: (256, 384, 3), 10: (256, 256, 3)}


class Moments(nn.Module):
    """Four features of an image."""

    def forward(self, x):
        flat = x.flatten(1)
        return torch.stack([flat.mean(1), flat.std(1), x[:, 0, 0, 0], x[:, 1, -1, 3]], dim=1)


@pytest.fixture(scope="module")
def alex(tmp_path_factory):
    folder, g = tmp_path_factory.mktemp("weights"), torch.Generator().manual_seed(0)
    state = {}
    for i, (out, inside, kernel) in ALEX.items():
        state[f"features.{i}.weight"] = (
            torch.randn(out, inside, kernel, kernel, generator=g) / (inside * kernel**2) ** 0.5
        )
        state[f"features.{i}.bias"] = 0.1 * torch.randn(out, generator=g)
    state["classifier.6.bias"] = torch.zeros(1000)
    torch.save(state, folder / "alexnet.pth")
    heads = {
        f"lin{k}.model.1.weight": torch.rand(1, ALEX[i][0], 1, 1, generator=g)
        for k, i in enumerate(ALEX)
    }
    torch.save(heads, folder / "heads.pth")
    return folder / "alexnet.pth", folder / "heads.pth"


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    path = tmp_path_factory.mktemp("features") / "moments.ts"
    torch.jit.save(torch.jit.script(Moments()), str(path))
    return path


def batch(seed, n=6, channels=3, size=32):
    return (
        torch.rand(n, channels, size, size, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    )


def test_without_weights_nothing_is_available():
    x = batch(0)
    for result in (lpips(x, x), fid(x, x), kid(x, x)):
        assert result.value is None
        assert "not available" in str(result)


def test_lpips_is_the_sum_over_layers(alex):
    x, reference = batch(0), batch(1)
    result = lpips(x, reference, weights=alex[0], heads=alex[1])
    state, heads = torch.load(alex[0], weights_only=True), torch.load(alex[1], weights_only=True)

    def run(image):
        h = (image - torch.tensor([-0.030, -0.088, -0.188]).view(3, 1, 1)) / torch.tensor(
            [0.458, 0.448, 0.450]
        ).view(3, 1, 1)
        kept = []
        for i, (stride, padding) in {
            0: (4, 2),
            3: (1, 2),
            6: (1, 1),
            8: (1, 1),
            10: (1, 1),
        }.items():
            if i in (3, 6):
                h = nn.functional.max_pool2d(h, 3, 2)
            h = nn.functional.conv2d(
                h, state[f"features.{i}.weight"], state[f"features.{i}.bias"], stride, padding
            ).relu()
            kept.append(h)
        return kept

    expected = torch.zeros(len(x))
    for k, (f, g) in enumerate(zip(run(x), run(reference))):
        gap = f / f.norm(dim=1, keepdim=True) - g / g.norm(dim=1, keepdim=True)
        expected += (heads[f"lin{k}.model.1.weight"] * gap**2).sum(1).mean((1, 2))
    assert torch.allclose(result.value, expected, rtol=1e-4)
    assert result.sha256[0] == hashlib.sha256(alex[0].read_bytes()).hexdigest()
    assert lpips(x, x, weights=alex[0], heads=alex[1]).value.abs().max() < 1e-9
    shifted = lpips((x + 1) / 2, (reference + 1) / 2, (0.0, 1.0), weights=alex[0], heads=alex[1])
    assert torch.allclose(shifted.value, result.value, rtol=1e-3)


def test_lpips_reads_grey_images_and_refuses_small_ones(alex):
    assert lpips(
        batch(0, channels=1), batch(1, channels=1), weights=alex[0], heads=alex[1]
    ).value.shape == (6,)
    with pytest.raises(InvalidInput, match="31 places"):
        lpips(batch(0, size=16), batch(1, size=16), weights=alex[0], heads=alex[1])


def test_weights_of_another_network_are_refused(alex, tmp_path):
    with pytest.raises(CheckpointError, match="another network"):
        lpips(batch(0), batch(1), weights=alex[0], heads=alex[1], network="vgg")
    with pytest.raises(CheckpointError, match="heads file"):
        lpips(batch(0), batch(1), weights=alex[0], heads=alex[0])
    (tmp_path / "bad.pth").write_bytes(b"not a checkpoint")
    with pytest.raises(CheckpointError, match="not a state dict"):
        lpips(batch(0), batch(1), weights=tmp_path / "bad.pth", heads=alex[1])
    with pytest.raises(InvalidInput, match="nothing is downloaded"):
        lpips(batch(0), batch(1), weights=tmp_path / "absent.pth", heads=alex[1])


def test_frechet_distance_of_gaussians():
    from scipy.linalg import sqrtm

    g = torch.Generator().manual_seed(0)
    a, b = (torch.randn(5, 9, generator=g, dtype=torch.float64) for _ in range(2))
    c_a, c_b, m = a @ a.T / 9, b @ b.T / 9, torch.arange(5.0)
    expected = float((m**2).sum()) + np.trace(c_a + c_b - 2 * sqrtm((c_a @ c_b).numpy()).real)
    assert frechet_distance(m, c_a, torch.zeros(5), c_b) == pytest.approx(expected, rel=1e-8)
    assert frechet_distance(m, c_a, m, c_a) == pytest.approx(0, abs=1e-10)
    low_rank = torch.diag(torch.tensor([4.0, 0, 0, 0, 0]))
    assert frechet_distance(m, low_rank, m, 4 * low_rank) == pytest.approx(4)  # (4 - 2)^2


def test_kernel_distance_by_hand():
    x, y = torch.tensor([[0.0], [1.0]]), torch.tensor([[1.0], [2.0]])
    within_x, within_y = 1.0, 27.0  # k(0, 1) = 1, k(1, 2) = 3^3
    across = (1 + 1 + 8 + 27) / 4
    assert kernel_distance(x, y) == pytest.approx(within_x + within_y - 2 * across)
    g = torch.Generator().manual_seed(0)
    values = [
        kernel_distance(torch.randn(20, 3, generator=g), torch.randn(20, 3, generator=g))
        for _ in range(200)
    ]
    spread = np.std(values) / np.sqrt(200)
    assert abs(np.mean(values)) < 4 * spread  # unbiased


def test_fid_and_kid_of_a_user_network(network):
    x, y = batch(0, n=70), batch(1, n=70)
    assert fid(x, x, weights=network).value == pytest.approx(0, abs=1e-9)
    assert fid(0.2 * x, y, weights=network).value > 0.05
    assert kid(0.2 * x, y, weights=network).value > kid(x, y, weights=network).value
    assert fid(x, y, weights=network).sha256 == (hashlib.sha256(network.read_bytes()).hexdigest(),)


def test_a_file_that_is_no_network_is_refused(tmp_path):
    (tmp_path / "x.ts").write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="TorchScript"):
        fid(batch(0), batch(1), weights=tmp_path / "x.ts")
