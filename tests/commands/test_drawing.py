"""What `deft sample` says of its samples: the misfit, and where they are not finite."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from deft.commands.drawing import broken_step
from deft.htransforms.base import HTransform
from deft.htransforms.gaussian_potential import GaussianPotential
from deft.likelihoods import GaussianLikelihood, Observation
from deft.metrics.image import far_from_right
from deft.operators.identity import Identity
from deft.priors.denoised import Denoised
from deft.samplers.ddim import DDIM
from deft.samplers.smc import ResampledSMC, TwistedSMC
from deft.studies.method import Method
from tests.commands.conftest import tiny_prior

FEW = ["--samples", "2", "--steps", "3"]


class Breaks(HTransform):
    """Does nothing, and gives NaN from a time on, for measurements whose first entry is above a
    level.
    """

    def __init__(self, below: float = 0.6, level: float = -2.0) -> None:
        super().__init__()
        self.below, self.level = below, level

    def shift(self, denoised: Denoised, observation: Observation) -> torch.Tensor:
        shift = torch.zeros_like(denoised.x_t)
        late = (denoised.t.reshape(-1) < self.below).expand(len(shift))
        hit = late & (observation.y.flatten(1).amax(1) > self.level)
        shift[hit] = math.nan
        return shift


BREAKS = ["--method", "Given", "--method.h_transform", "tests.commands.test_drawing.Breaks"]


@pytest.fixture
def measured(prior_file: str, tmp_path: Path) -> list[object]:
    """Measurements of averages: those of the second image are bright."""
    y = np.full((3, 1, 4, 4), -0.5, np.float32)
    y[1] = 0.9
    np.save(tmp_path / "y.npy", y)
    sampler = ["--method.sampler", "DDIM", "--method.sampler.steps", "4"]
    problem = [
        "--problem",
        "SuperResolution",
        "--problem.sigma_y",
        "0.1",
        "--measurements",
        tmp_path / "y.npy",
        "--value_range",
        "[-1,1]",
    ]
    return [
        "sample",
        *BREAKS,
        *sampler,
        "--prior",
        prior_file,
        *problem,
        "--out",
        tmp_path / "s",
        "--samples",
        "2",
    ]


def test_samples_that_are_not_finite_end_with_status_1_and_the_others_stay(
    deft, measured, tmp_path: Path
) -> None:
    more = ["--method.h_transform.level", "0.5", "--batch_size", "2"]
    code, _, said = deft(*measured, *more)
    assert code == 1
    assert "00001" in said
    assert "step 3 of 4" in said
    assert "Traceback" not in said
    assert sorted(f.name for f in (tmp_path / "s").glob("*.npz")) == ["00000.npz", "00002.npz"]
    names = [
        json.loads(line)["name"]
        for line in (tmp_path / "s" / "done.jsonl").read_text().splitlines()
    ]
    assert names == ["00000", "00002"]
    code, printed, said = deft(*measured, *more)
    assert code == 1
    assert "2 of 3 images are done already" in printed
    assert "00001" in said


def test_where_nothing_is_finite_it_ends_at_once(deft, measured, tmp_path: Path) -> None:
    code, _, said = deft(*measured, "--batch_size", "2")
    assert code == 1
    assert "samples of 1 image are not finite" in said
    assert not (tmp_path / "s" / "done.jsonl").exists()
    assert not list((tmp_path / "s").glob("*.npz"))


def test_the_step_is_found() -> None:
    prior, observation = (
        tiny_prior().frozen(),
        Observation(torch.zeros(1, 1, 16, 16), GaussianLikelihood(Identity(), 0.1)),
    )
    assert (
        broken_step(Method("", Breaks(0.9), DDIM(4)), prior, observation, 1, 0) == "step 2 of 4 on"
    )
    assert (
        broken_step(Method("", Breaks(0.0), DDIM(4)), prior, observation, 1, 0)
        == "the last of 4 steps on"
    )
    smc = ResampledSMC(TwistedSMC(GaussianPotential.for_prior(prior), 4), 2)
    assert (
        broken_step(Method("", Breaks(0.9), smc), prior, observation, 1, 0) == ""
    )  # it stops by itself


def observed(count: int, sigma_y: float = 0.1) -> Observation:
    return Observation(torch.full((1, count), 2.0), GaussianLikelihood(Identity(), sigma_y))


@pytest.mark.parametrize(
    ("misfit", "count", "side"),
    [
        (1.0, 100, ""),
        (0.6, 100, ""),
        (1.4, 100, ""),
        (1.6, 100, "above"),
        (0.4, 100, "below"),
        (1.6, 4, ""),
        (0.1, 4, ""),
        (9.0, 4, "above"),
        (math.nan, 100, "above"),
        (math.inf, 4, "above"),
    ],
)
def test_what_is_far_depends_on_the_number_of_measurements(
    misfit: float, count: int, side: str
) -> None:
    assert far_from_right(misfit, observed(count)) == side


@pytest.mark.parametrize(
    ("residual", "side"), [(0.0, ""), (0.05, ""), (0.2, "above"), (math.nan, "above")]
)
def test_without_noise_the_residual_is_compared_with_the_measurement(
    residual: float, side: str
) -> None:
    assert far_from_right(residual, observed(9, 0.0)) == side


def test_the_misfit_is_said_and_kept_and_a_warning_says_what_it_may_mean(
    deft, measured, tmp_path: Path
) -> None:
    quiet = ["--method.h_transform.level", "9"]
    code, said, wrong = deft(*measured, *quiet)
    assert code == 0, wrong
    records = [
        json.loads(line) for line in (tmp_path / "s" / "done.jsonl").read_text().splitlines()
    ]
    with np.load(tmp_path / "s" / "00001.npz") as z:
        averages = z["samples"].reshape(2, 1, 4, 4, 4, 4).mean((3, 5))
        by_hand = np.sqrt((((z["y"] - averages) / 0.1) ** 2).mean())
    assert records[1]["misfit"] == pytest.approx(by_hand, rel=1e-4)
    assert "misfit of the samples, 1 is right" in said
    assert "over 3 images" in said
    assert "the misfit of 3 images is far above what is right" in wrong  # nothing guides
    assert "sigma_y" in wrong
    code, said, wrong = deft(*measured, *quiet)
    assert "misfit of the samples" in said  # of what was done before
    assert "far above" in wrong


def test_with_the_truth_there_is_a_psnr_and_the_prior_alone_is_not_warned_of(
    deft, prior_file: str, image_folder: str, tmp_path: Path
) -> None:
    method = [
        "--method",
        "Unconditional",
        "--method.sampler",
        "DDIM",
        "--method.sampler.steps",
        "2",
    ]
    code, said, wrong = deft(
        "sample",
        *method,
        "--prior",
        prior_file,
        "--problem",
        "SuperResolution",
        "--images",
        image_folder,
        "--limit",
        "1",
        "--samples",
        "1",
        "--out",
        tmp_path / "s",
    )
    assert code == 0, wrong
    assert "PSNR of the mean: " in said
    assert "1 image x 1 sample in" in said
    assert "far" not in wrong


def test_the_standard_deviation_has_a_scale(deft, measured, tmp_path: Path) -> None:
    from PIL import Image

    assert deft(*measured, "--method.h_transform.level", "9", "--limit", "1")[0] == 0
    mean, std = (Image.open(tmp_path / "s" / f"00000-{kind}.png") for kind in ("mean", "std"))
    assert std.height / std.width > 1.1 > mean.height / mean.width
