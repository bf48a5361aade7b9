import json

import numpy as np
import pytest
import torch

from deft.htransforms.ddnm import DDNM
from deft.likelihoods import Likelihood, Observation
from deft.metrics import Weights
from deft.noise import Noise
from deft.priors.base import Prior
from deft.priors.unet import UNetPrior
from deft.problems import Denoising, Inpainting
from deft.samplers.ddim import DDIM
from deft.samplers.ddrm import DDRM
from deft.schedules import VPLinear
from deft.studies.estimate import Estimate
from deft.studies.evaluation import evaluate
from deft.studies.method import Method
from deft.studies.parts import Part
from deft.studies.scores import FEWEST, MEASURES, Scores, best


def scores(images, error, costs=(6.0, 12, 0)):
    """Of two samples of each image that miss it by `error`, one to each side."""
    observation = Denoising(sigma_y=0.1).draw(images, Noise(range(len(images))))
    both = torch.stack([images + error, images - error], dim=1)
    parts = [Part(2, both[2:], *costs), Part(0, both[:2], *costs)]
    return Scores(parts, images, observation, (-1.0, 1.0), False, Weights())


def test_of_errors_that_are_known(images):
    found = scores(images, 0.1)
    assert found.estimate("psnr_single", 5).value == pytest.approx(
        10 * np.log10(4 / 0.01), rel=1e-4
    )
    assert found.estimate("psnr_mean", 5).value > 100
    assert found.per_image["seconds"] == [3.0, 3.0, 2.0, 2.0, 2.0]
    assert found.per_image["evaluations"] == [3.0, 3.0, 2.0, 2.0, 2.0]
    assert found.estimate("lpips", 5) is found.estimate("fid", 5) is None


def test_a_likelihood_without_a_misfit_has_the_other_measures(images):
    class Silent(Likelihood):
        def __init__(self, operator, sigma_y):
            super().__init__()
            self.operator, self.sigma_y = operator, sigma_y

        def log_prob(self, x_0, y):
            raise NotImplementedError

        sample = guidance = log_prob

        def take(self, index):
            return Silent(self.operator.take(index), self.sigma_y[index])

    drawn = Denoising(sigma_y=0.1).draw(images, Noise(range(len(images))))
    observation = Observation(drawn.y, Silent(drawn.operator, drawn.sigma_y))
    assert (drawn.likelihood.has_misfit, observation.likelihood.has_misfit) == (True, False)
    parts = [Part(0, torch.stack([images, images], 1) + 0.1, 1.0, 1, 0)]
    found = Scores(parts, images, observation, (-1.0, 1.0), False, Weights())
    assert found.estimate("misfit", 5) is None
    assert found.estimate("psnr_single", 5).value > 20


def test_costs_that_come_once(images):
    def found(*memory, **more):
        observation = Denoising(sigma_y=0.1).draw(images, Noise(range(5)))
        both = torch.stack([images, images], dim=1)
        parts = [Part(0, both[:2], 4.0, 12, 0, memory[0]), Part(2, both[2:], 6.0, 18, 0, memory[1])]
        return Scores(parts, images, observation, (-1.0, 1.0), False, Weights(), **more)

    trained = found(2**30, 2**29, own_evaluations=2, training_seconds=100.0)
    assert trained.estimate("peak_memory", 5).value == 1.0
    assert trained.estimate("training_seconds", 5).value == 100.0
    assert trained.estimate("total_seconds", 5).value == pytest.approx(2.0 + 20.0)
    assert trained.estimate("own_evaluations", 5).value == 6.0
    plain = found(None, None)
    assert all(
        plain.estimate(key, 5) is None
        for key in ("peak_memory", "training_seconds", "total_seconds", "own_evaluations")
    )


def test_differences_are_over_the_same_images(images):
    difference = scores(images, 0.1).difference(scores(images, 0.2), "psnr_single", 3)
    assert difference.value == pytest.approx(20 * np.log10(2), rel=1e-4)
    assert difference.standard_error == pytest.approx(0, abs=1e-4)
    assert difference.count == 3
    assert scores(images, 0.1).difference(scores(images, 0.2), "lpips", 3) is None


class Broken(Prior):
    """Says that everything is not a number."""

    schedule, event_shape, value_range = VPLinear(), (1, 16, 16), (-1.0, 1.0)

    def denoise(self, x_t, t):
        return x_t * float("nan")


def test_samples_that_are_not_finite_are_counted(images, tmp_path):
    results = evaluate(
        Broken(),
        Inpainting(sigma_y=0.05),
        images,
        [Method("a", None, DDIM(1))],
        out=tmp_path,
        samples=2,
        progress=False,
    )
    (method,) = results["methods"]
    assert method["broken_samples"] == 10
    assert method["summary"]["psnr_mean"]["value"] is None
    assert "patch_distance" not in method["summary"]
    json.loads((tmp_path / "results.json").read_text(), parse_constant=pytest.fail)


def test_signals_along_one_axis(tmp_path):
    prior = UNetPrior(
        (2, 24), VPLinear(), channels=(8, 8), attention=(False, False), blocks=1, value_range=None
    ).frozen()
    x = torch.randn(3, 2, 24, generator=torch.Generator().manual_seed(0))
    results = evaluate(
        prior,
        Inpainting("random", sigma_y=0.1),
        x,
        [Method("a", None, DDIM(1))],
        out=tmp_path,
        samples=2,
        progress=False,
    )
    assert {"psnr_mean", "ssim_mean", "patch_distance", "misfit"} <= set(
        results["methods"][0]["summary"]
    )


def test_the_best_must_be_ahead_by_two_standard_errors(prior, images, tmp_path):
    equal = [Method("a", DDNM(), DDIM(2)), Method("b", DDNM(), DDIM(2))]
    assert set(
        evaluate(
            prior, Inpainting(sigma_y=0.05), images, equal, out=tmp_path, samples=1, progress=False
        )["best"].values()
    ) == {None}


@pytest.mark.parametrize(("count", "expected"), [(FEWEST - 1, None), (FEWEST, "good")])
def test_with_few_images_no_method_is_ahead(images, count, expected):
    methods = [Method("bad", DDNM(), DDIM(2)), Method("good", DDNM(), DDIM(2))]
    found = {"bad": scores(images[:count], 0.3), "good": scores(images[:count], 0.1)}
    (psnr,) = (measure for measure in MEASURES if measure.key == "psnr_single")
    assert best(psnr, methods, found) == expected


def test_a_sampler_that_conditions_by_itself_competes():
    """It has no h-transform: a method without one is not therefore the prior alone."""
    psnr = next(measure for measure in MEASURES if measure.key == "psnr_mean")
    methods = [
        Method("prior", None, DDIM(2)),
        Method("h", DDNM(), DDIM(2)),
        Method("DDRM", None, DDRM(2)),
    ]
    assert [method.conditions for method in methods] == [False, True, True]

    class Known:
        def __init__(self, level):
            self.level, self.count = level, 20

        def difference(self, other, key, count):
            return Estimate.mean([self.level - other.level + 0.01 * (i % 2) for i in range(count)])

    found = {"prior": Known(40.0), "h": Known(22.0), "DDRM": Known(23.0)}
    assert best(psnr, methods, found) == "DDRM"
