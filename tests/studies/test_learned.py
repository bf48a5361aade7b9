import numpy as np
import pytest
import torch

from deft.errors import InvalidInput
from deft.metrics import Weights, kernel_distance, load_judge
from deft.metrics.judge import NAME
from deft.priors.callable import CallablePrior
from deft.priors.unet import UNetPrior
from deft.problems import Inpainting
from deft.samplers.ddim import DDIM
from deft.schedules import VPLinear
from deft.studies.evaluation import evaluate
from deft.studies.kept import read_samples
from deft.studies.learned import Judged, kernel_estimate
from deft.studies.method import Method


def test_a_judge_of_samples(images):
    worse = images + 0.3 * torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    judged = Judged.of(torch.stack([images, worse], 1), images, (-1.0, 1.0), NAME)
    network, _ = load_judge()
    far = network.see(worse).distance(network.see(images)).double()
    assert far.min() > 0.01
    torch.testing.assert_close(judged.distance, far / 2, atol=1e-5, rtol=0)  # the other is at 0
    assert (judged.agreement >= 0.5).all()
    pooled = network.see(images).pooled, network.see(worse).pooled
    by_hand = np.mean([kernel_distance(f[:4], pooled[0][:4]) for f in pooled])
    assert judged.kid(4).value == pytest.approx(1000 * by_hand, rel=1e-3)


def test_the_error_of_kid_is_that_of_a_jackknife():
    g = torch.Generator().manual_seed(1)
    x, y = (torch.randn(30, 4, generator=g, dtype=torch.float64) for _ in range(2))
    found = kernel_estimate([x], y)
    assert found.value == pytest.approx(1000 * kernel_distance(x, y))
    assert len(found.replicates) == 20
    rest = [i for i in range(30) if i not in (0, 20)]
    assert found.replicates[0] == pytest.approx(1000 * kernel_distance(x[rest], y[rest]))


def test_evaluate_reports_it(images, prior: UNetPrior, tmp_path):
    results = evaluate(
        prior,
        Inpainting(sigma_y=0.05),
        images,
        [Method("a", None, DDIM(2))],
        out=tmp_path,
        samples=2,
        weights=Weights(judge=NAME),
        progress=False,
    )
    assert results["weights"]["Judge"] == {"network": NAME, "sha256": [load_judge()[1]]}
    summary = results["methods"][0]["summary"]
    expected = Judged.of(read_samples(tmp_path, "a", 5), images, (-1.0, 1.0), NAME)
    assert summary["feature_distance"]["value"] == pytest.approx(float(expected.distance.mean()))
    assert summary["agreement"]["value"] == pytest.approx(float(expected.agreement.mean()))
    assert summary["judged_kid"]["value"] == pytest.approx(expected.kid(5).value)
    assert summary["judged_kid"]["standard_error"] > 0


@pytest.mark.parametrize("name", ["judge", "features"])
def test_signals_that_are_no_images_are_refused_before_anything_is_drawn(name, images, tmp_path):
    two = torch.cat([images, images], 1)
    prior = CallablePrior(lambda x, t: 0 * x, VPLinear(), (2, 16, 16), 1.0, identity="zero")
    with pytest.raises(InvalidInput, match=rf"weights.{name}.*signals of shape \(2, 16, 16\)"):
        evaluate(
            prior,
            Inpainting(sigma_y=0.05),
            two,
            [Method("a", None, DDIM(2))],
            out=tmp_path,
            weights=Weights(**{name: NAME}),
        )
    assert not list(tmp_path.iterdir())
