"""`--sigma_y FILE.npy`: a standard deviation for each entry of the measurements."""

from pathlib import Path

import numpy as np
import pytest
import torch

from deft.commands.measurements import observation
from deft.errors import InvalidInput
from deft.pipeline.deviations import deviations
from deft.problems import Denoising
from tests.commands.conftest import tiny_prior

OPTIONS = {"masks": None, "convert": None, "value_range": (-1.0, 1.0), "strict": False}


def test_it_is_read_for_all_or_for_each(tmp_path: Path) -> None:
    y = np.random.default_rng(0).normal(0, 0.3, (2, 1, 16, 16)).astype(np.float32)
    sigma = np.random.default_rng(1).uniform(0.1, 0.5, (2, 1, 16, 16)).astype(np.float32)
    np.save(tmp_path / "y.npy", y)
    for name, array in (("each", sigma), ("all", sigma[0]), ("plain", sigma[0, 0])):
        np.save(tmp_path / f"{name}.npy", array)
        observed, _ = observation(
            tmp_path / "y.npy",
            tiny_prior(),
            Denoising(),
            sigma_y=tmp_path / f"{name}.npy",
            **OPTIONS,
        )
        level = (1 / sigma**2).mean((1, 2, 3)) ** -0.5
        want = level if name == "each" else level[:1]
        np.testing.assert_allclose(observed.sigma_y, want, rtol=1e-5)
        np.testing.assert_allclose(observed.measured, y, rtol=1e-5, atol=1e-6)
        assert observed.is_whitened


def test_the_command_draws_samples_and_keeps_y_as_it_was(
    deft, prior_file: str, tmp_path: Path
) -> None:
    y = np.zeros((1, 1, 16, 16), np.float32)
    y[..., 8:] = 0.8
    sigma = np.full((1, 16, 16), 0.02, np.float32)
    sigma[:, :8] = 5.0
    np.save(tmp_path / "y.npy", y)
    np.save(tmp_path / "sigma.npy", sigma)
    given = ["sample", "--prior", prior_file, "--problem", "Denoising", "--problem.sigma_y", "0.1"]
    given += ["--measurements", tmp_path / "y.npy", "--value_range", "[-1,1]", "--samples", "2"]
    given += ["--method", "DDNMPlus", "--method.steps", "20", "--sigma_y", tmp_path / "sigma.npy"]
    code, _, wrong = deft(*given, "--out", tmp_path / "s")
    assert code == 0, wrong
    with np.load(tmp_path / "s" / "00000.npz") as z:
        np.testing.assert_allclose(z["y"], y[0], atol=1e-6)
        away = np.abs(z["samples"] - y[0])
        assert away[..., 8:, :].mean() < 0.2  # little noise: met
        assert away[..., :8, :].mean() > 2 * away[..., 8:, :].mean()


@pytest.mark.parametrize(
    ("array", "given"),
    [
        (torch.ones(4, 4), "an array of shape (4, 4)"),
        (torch.ones(3, 1, 2, 2), "an array of shape (3, 1, 2, 2)"),
        (torch.ones(1, 2, 2).long(), "values of torch.int64"),
        (torch.full((1, 2, 2), torch.nan), "no finite value"),
    ],
)
def test_errors(array, given) -> None:
    with pytest.raises(InvalidInput) as raised:
        deviations("--sigma_y", array, (1, 2, 2), 2)
    assert raised.value.what == "--sigma_y"
    assert raised.value.given == given
