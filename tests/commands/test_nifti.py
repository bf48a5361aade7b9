"""`deft sample` on a slice of a NIfTI volume."""

from pathlib import Path

import numpy as np
import pytest

nibabel = pytest.importorskip("nibabel")


def test_a_slice_is_measured_or_is_the_measurement(deft, prior_file: str, tmp_path: Path) -> None:
    volume = np.random.default_rng(0).uniform(0, 100, (16, 16, 3)).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), tmp_path / "v.nii.gz")
    shown = volume[::-1, ::-1, 1].T / 50 - 1
    given = ["sample", "--prior", prior_file, "--problem", "Denoising", "--problem.sigma_y", "0.1"]
    given += ["--method", "DPS", "--method.steps", "2", "--samples", "1"]
    given += ["--value_range", "[0,100]"]
    for kind, name in (("--images", "truth"), ("--measurements", "y")):
        file = [kind, tmp_path / "v.nii.gz"]
        code, _, wrong = deft(*given, *file, "--slice", "axial:1", "--out", tmp_path / kind[2:])
        assert code == 0, wrong
        with np.load(tmp_path / kind[2:] / "00000.npz") as z:
            np.testing.assert_allclose(z[name][0], shown, atol=1e-5)
        code, _, wrong = deft(*given, *file, "--out", tmp_path / "o")
        assert code == 2
        assert "is a volume" in wrong
        assert "3 axial" in wrong
