import json
import re
from html.parser import HTMLParser

import pytest
import torch

from deft.errors import InvalidInput
from deft.htransforms.base import NoConditioning
from deft.htransforms.gaussian_potential import GaussianPotential
from deft.htransforms.learned import LearnedHTransform
from deft.priors.unet import UNetPrior
from deft.problems import Inpainting, SuperResolution
from deft.reports import write_report
from deft.samplers.ddim import DDIM
from deft.samplers.smc import ResampledSMC, TwistedSMC
from deft.schedules import VPLinear
from deft.studies import Method, evaluate

VOID = {"meta", "img", "br"}


class Strict(HTMLParser):
    """Checks that every element is closed, and collects what is referred to."""

    def __init__(self):
        super().__init__()
        self.open, self.references, self.words = [], [], []

    def handle_starttag(self, tag, attributes):
        self.references += [
            value for name, value in attributes if name in ("src", "href", "xlink:href")
        ]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        pass

    def handle_endtag(self, tag):
        assert self.open, tag
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def parse(path):
    parser = Strict()
    parser.feed(path.read_text())
    assert parser.open == []
    return parser


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    torch.manual_seed(0)
    prior = UNetPrior(
        (3, 16, 16), VPLinear(), channels=(8, 8), attention=(False, False), blocks=1, name="tiny"
    ).frozen()
    images = torch.nn.functional.avg_pool2d(torch.randn(4, 3, 18, 18), 3, 1).clamp(-1, 1)
    h = LearnedHTransform.for_prior(prior, fraction=0.5)
    methods = [
        Method("no h", None, DDIM(1)),
        Method(
            "A & B",
            NoConditioning(),
            DDIM(2),
            images=2,
            tuned={
                "parameter": "w",
                "metric": "PSNR",
                "values": [1, 2],
                "scores": [3.0, 4.0],
                "best": 2,
            },
        ),
        Method("DEFT", h, DDIM(2), training_seconds=60),
    ]
    out = tmp_path_factory.mktemp("report")
    evaluate(
        prior,
        Inpainting(sigma_y=0.05),
        images,
        methods,
        out=out,
        samples=2,
        progress=False,
        pictures=3,
        command="deft evaluate <x>.yaml",
    )
    return out


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    path = tmp_path_factory.mktemp("run") / "metrics.jsonl"
    bins = [
        {"low": -4.0, "high": 0.0, "count": 5, "loss": 0.1, "without": 0.2},
        {"low": 0.0, "high": 4.0, "count": 5, "loss": 0.0, "without": 0.0},
    ]
    lines = [{"step": 50, "loss": 0.3, "without": 0.4}, {"step": 100, "loss": 0.2, "without": 0.4}]
    lines.append({"step": 100, "validation": {"loss": 0.2, "without": 0.4, "bins": bins}})
    path.write_text("\n".join(map(json.dumps, lines)) + '\n{"step": 150, "lo')
    return path


def test_the_page_holds_every_method_and_nothing_from_elsewhere(folder, log):
    card = {
        "architecture": {
            "class_path": "deft.htransforms.learned.LearnedHTransform",
            "init_args": {"patch": 2},
        },
        "training": {"steps": 100},
    }
    path = write_report(
        folder,
        training={"DEFT": log},
        card=card,
        warning="below its gate",
        introduction="About <this>.",
    )
    page = parse(path)
    text = " ".join(page.words)
    for word in (
        "no h",
        "A & B",
        "DEFT",
        "below its gate",
        "About <this>.",
        "deft evaluate <x>.yaml",
        "LearnedHTransform(patch = 2)",
        "steps 100",
        "w tuned",
        "tiny",
    ):
        assert word in text
    assert all(reference.startswith("data:image/png;base64,") for reference in page.references)
    # Figure 1: three images, of which "A & B" saw two; Figure 3: truth, measurement, two samples,
    # mean and deviation.
    first, third = 3 * 5 - 1, 3 * 2 + 3 * 4 * 2 + 2 * 4
    assert len(page.references) == first + third
    assert not re.search(r"https?:|@import|url\(|<script|<link", path.read_text())
    assert "DEFT: by noise level" in text
    assert (folder / "comparison.png").stat().st_size > 500


def test_a_page_without_training_and_card(folder):
    text = " ".join(parse(write_report(folder, title="Only the table", panels=0)).words)
    assert "Only the table" in text
    assert "by noise level" not in text
    assert "The checkpoint" not in text
    assert "With fewer than 5 images no method is called ahead of another." in text


def test_weights_that_collapse_stand_first(tmp_path):
    prior = UNetPrior(
        (1, 12, 12),
        VPLinear(),
        channels=(8, 8),
        attention=(False, False),
        blocks=1,
        value_range=None,
    ).frozen()
    x = torch.randn(2, 1, 12, 12, generator=torch.Generator().manual_seed(0))
    smc = ResampledSMC(TwistedSMC(GaussianPotential.for_prior(prior), 2, threshold=0.0), 3)
    methods = [
        Method("SMC", NoConditioning(), smc),
        Method("proposal", NoConditioning(), DDIM(2, eta=1.0)),
    ]
    evaluate(
        prior,
        Inpainting("random", sigma_y=0.05),
        x,
        methods,
        out=tmp_path,
        samples=2,
        progress=False,
        paths=3,
    )
    text = " ".join(parse(write_report(tmp_path)).words)
    assert "SMC: the weights collapsed (effective sample size below 2) on 2 of 2 images" in text
    assert "How exact" in text
    assert "not measured: on a CPU" in text


def test_a_missing_log_is_named(folder, tmp_path):
    with pytest.raises(InvalidInput, match="no training log"):
        write_report(folder, training={"DEFT": tmp_path / "nothing"})


@pytest.mark.parametrize("shape", [(2, 24), (1, 12, 20)])
def test_any_event_shape_one_method_one_sample(shape, tmp_path):
    prior = UNetPrior(
        shape, VPLinear(), channels=(8, 8), attention=(False, False), blocks=1, value_range=None
    ).frozen()
    x = torch.randn(2, *shape, generator=torch.Generator().manual_seed(0))
    evaluate(
        prior,
        Inpainting("random", sigma_y=0.0),
        x,
        [Method("a", NoConditioning(), DDIM(1))],
        out=tmp_path,
        samples=1,
        progress=False,
    )
    text = " ".join(parse(write_report(tmp_path)).words)
    assert "Residual" in text


def test_one_of_a_thing_is_one_and_a_measurement_is_lifted(tmp_path):
    torch.manual_seed(0)
    prior = UNetPrior(
        (1, 16, 16), VPLinear(), channels=(8, 8), attention=(False, False), blocks=1, name="tiny"
    ).frozen()
    images = torch.zeros(1, 1, 16, 16)
    evaluate(
        prior,
        SuperResolution(factor=2),
        images,
        [Method("a", None, DDIM(1))],
        out=tmp_path,
        samples=1,
        progress=False,
    )
    page = write_report(tmp_path).read_text()
    assert "1 image × 1 sample;" in page
    assert not re.search(
        r"\b1 (samples|images)\b", re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)
    )
    assert "pseudo-inverse" not in page


def test_pictures_shrink_with_the_page_before_they_scroll(folder):
    page = write_report(folder).read_text()
    for columns in re.findall(r"grid-template-columns:([^\"]+)\"", page):
        assert "minmax(" in columns
        assert not re.search(r"repeat\(\d+,\d+px\)", columns.replace("6px", ""))
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)[1]
    assert "width: max-content" not in style
    assert "max-width: 100%" in re.search(r"\nimg \{[^}]*\}", style)[0]
