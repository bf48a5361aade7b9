import hashlib
import math
import subprocess
import sys

import numpy as np
import pytest
import torch

from deft.errors import CheckpointError, FolderInUse, InvalidInput
from deft.htransforms.base import NoConditioning
from deft.htransforms.dps import DPS
from deft.htransforms.gaussian_potential import GaussianPotential
from deft.htransforms.pigdm import PiGDM
from deft.metrics import Weights, kid, psnr
from deft.noise import Noise
from deft.priors.base import Prior
from deft.priors.unet import UNetPrior
from deft.problems import Inpainting, PhaseRetrieval
from deft.reports.page import write_report
from deft.reports.table import results_table, weights_table
from deft.samplers.ddim import DDIM
from deft.samplers.smc import ResampledSMC, TwistedSMC
from deft.schedules import VPLinear
from deft.storage import lock
from deft.studies.evaluation import evaluate
from deft.studies.kept import read_results, read_samples
from deft.studies.method import Method
from deft.studies.parts import read_parts
from tests.studies.labelled import Labelled


def methods(h_transform):
    return [
        Method("no h", None, DDIM(2)),
        Method("DPS", DPS(1.0), DDIM(3, eta=1.0), images=3, notes="slow"),
        Method(
            "DEFT",
            h_transform,
            DDIM(3),
            training_seconds=12.5,
            tuned={"parameter": "none", "values": [1], "scores": [2.0], "best": 1},
        ),
    ]


@pytest.fixture(scope="module")
def finished(prior, h_transform, images, tmp_path_factory):
    out = tmp_path_factory.mktemp("evaluation")
    evaluate(
        prior,
        Inpainting(sigma_y=0.05),
        images,
        methods(h_transform),
        out=out,
        samples=2,
        batch_size=4,
        progress=False,
        command="deft evaluate x.yaml",
    )
    return out


def counting(monkeypatch):
    calls = []
    original = UNetPrior.denoise
    monkeypatch.setattr(
        UNetPrior, "denoise", lambda self, x_t, t: calls.append(len(x_t)) or original(self, x_t, t)
    )
    return calls


def test_results_say_what_was_done(finished, images):
    results = read_results(finished)
    assert results["command"] == "deft evaluate x.yaml"
    assert results["problem"]["args"]["sigma_y"] == 0.05
    assert results["sigma_y"] == pytest.approx([0.05] * 5)
    assert results["samples"] == 2
    assert results["reference"] == "DEFT"
    assert len(set(results["seeds"]["observations"] + results["seeds"]["samples"])) == 10
    assert {"deft", "torch", "python"} <= set(results["versions"])
    assert results["commit"] is None or len(results["commit"].removesuffix("+changes")) == 40
    no_h, dps, learned = results["methods"]
    assert not no_h["conditional"]
    assert learned["conditional"]
    assert learned["training_seconds"] == 12.5
    assert learned["tuned"]["best"] == 1
    assert (no_h["images"], dps["images"], learned["images"]) == (5, 3, 5)
    assert all(len(values) == 5 for values in learned["per_image"].values())


def test_costs_are_counted(finished):
    no_h, dps, learned = read_results(finished)["methods"]
    assert [m["summary"]["evaluations"]["value"] for m in (no_h, dps, learned)] == [2, 3, 3]
    assert [m["summary"]["prior_gradients"]["value"] for m in (no_h, dps, learned)] == [0, 3, 0]
    assert all(m["summary"]["seconds"]["value"] > 0 for m in (no_h, dps, learned))
    assert [m["summary"].get("own_evaluations", {}).get("value") for m in (no_h, dps, learned)] == [
        None,
        None,
        3,
    ]
    assert [m["summary"]["training_seconds"]["value"] for m in (no_h, dps, learned)] == [0, 0, 12.5]
    total, seconds = (learned["summary"][key]["value"] for key in ("total_seconds", "seconds"))
    assert total == pytest.approx(seconds + 12.5 / 5)
    assert "peak_memory" not in learned["summary"]
    assert "on a CPU" in read_results(finished)["peak_memory"]


def test_measures_by_hand(finished, images):
    results = read_results(finished)
    samples = read_samples(finished, "DEFT", 5)
    assert samples.shape == (5, 2, 1, 16, 16)
    own = results["methods"][2]
    assert own["per_image"]["psnr_mean"] == pytest.approx(
        psnr(samples.mean(1), images, 2.0).tolist(), rel=1e-5
    )
    singles = [
        psnr(samples[i], images[i : i + 1].expand(2, -1, -1, -1), 2.0).mean().item()
        for i in range(5)
    ]
    assert own["per_image"]["psnr_single"] == pytest.approx(singles, rel=1e-5)
    squares = np.square(own["per_image"]["misfit"])
    assert own["summary"]["misfit"]["value"] == pytest.approx(np.sqrt(squares.mean()))


def test_paired_errors_by_hand(finished):
    no_h, dps, learned = read_results(finished)["methods"]
    gap = np.array(no_h["per_image"]["psnr_mean"]) - np.array(learned["per_image"]["psnr_mean"])
    difference = no_h["difference"]["psnr_mean"]
    assert difference["value"] == pytest.approx(gap.mean())
    assert difference["standard_error"] == pytest.approx(gap.std(ddof=1) / np.sqrt(5))
    gap = np.array(dps["per_image"]["psnr_single"]) - np.array(
        learned["per_image"]["psnr_single"][:3]
    )
    assert dps["difference"]["psnr_single"]["value"] == pytest.approx(gap.mean())
    assert dps["difference"]["psnr_single"]["images"] == 3
    assert learned["difference"] == {}


def test_a_finished_run_is_not_computed_again(finished, prior, h_transform, images, monkeypatch):
    calls, before = counting(monkeypatch), read_results(finished)
    evaluate(
        prior,
        Inpainting(sigma_y=0.05),
        images,
        methods(h_transform),
        out=finished,
        samples=2,
        batch_size=64,
        progress=False,
    )
    assert calls == []
    after = read_results(finished)
    assert [m["per_image"] for m in after["methods"]] == [m["per_image"] for m in before["methods"]]


def test_a_killed_run_goes_on(prior, h_transform, images, tmp_path, finished, monkeypatch):
    calls = counting(monkeypatch)

    class Killed(Exception):
        pass

    def stop(self, x_t, t, original=UNetPrior.denoise):
        if len(calls) >= 5:  # the third step of DEFT's second part
            raise Killed
        return original(self, x_t, t)

    arguments = {"out": tmp_path, "samples": 2, "progress": False}
    only = methods(h_transform)[2:]
    with monkeypatch.context() as patch:
        patch.setattr(UNetPrior, "denoise", stop)
        with pytest.raises(Killed):
            evaluate(prior, Inpainting(sigma_y=0.05), images, only, batch_size=4, **arguments)
    assert not (tmp_path / "results.json").exists()
    assert len(list((tmp_path / "parts" / "deft").glob("*.npz"))) == 1
    calls.clear()
    results = evaluate(prior, Inpainting(sigma_y=0.05), images, only, batch_size=4, **arguments)
    assert sum(calls) == 3 * 2 * 3  # three images were left, two samples each, three steps
    expected = read_results(finished)["methods"][2]["per_image"]
    for key in ("psnr_mean", "ssim_single", "misfit"):
        assert results["methods"][0]["per_image"][key] == pytest.approx(expected[key], rel=1e-5)


def test_a_changed_configuration_is_named(finished, prior, h_transform, images):
    run = {"out": finished, "samples": 2, "progress": False}
    with pytest.raises(InvalidInput, match=r"problem\.args\.sigma_y: 0\.05 before, 0\.1 now"):
        evaluate(prior, Inpainting(sigma_y=0.1), images, methods(h_transform), **run)
    with pytest.raises(InvalidInput, match="seed: 0 before, 3 now"):
        evaluate(prior, Inpainting(sigma_y=0.05), images, methods(h_transform), seed=3, **run)
    with pytest.raises(
        InvalidInput, match=r"method 'DPS'.*h_transform\.weight: 1\.0 before, 2\.0 now"
    ):
        evaluate(
            prior,
            Inpainting(sigma_y=0.05),
            images,
            [Method("DPS", DPS(2.0), DDIM(3, eta=1.0))],
            **run,
        )
    with pytest.raises(InvalidInput, match=r"sampler\.steps: 3 before, 4 now"):
        evaluate(
            prior, Inpainting(sigma_y=0.05), images, [Method("DEFT", h_transform, DDIM(4))], **run
        )


def test_a_method_can_be_added_later(prior, images, tmp_path, monkeypatch):
    run = {"out": tmp_path, "samples": 1, "progress": False}
    first = Method("a", NoConditioning(), DDIM(2))
    evaluate(prior, Inpainting(sigma_y=0.05), images, [first], **run)
    calls = counting(monkeypatch)
    results = evaluate(
        prior,
        Inpainting(sigma_y=0.05),
        images,
        [first, Method("b", NoConditioning(), DDIM(1))],
        **run,
    )
    assert sum(calls) == 5
    assert [m["label"] for m in results["methods"]] == ["a", "b"]


def test_bad_input(prior, h_transform, images, tmp_path):
    problem, method = Inpainting(sigma_y=0.05), Method("a", None, DDIM(1))
    with pytest.raises(InvalidInput, match="different labels"):
        evaluate(prior, problem, images, [method, Method("A", None, DDIM(1))], out=tmp_path)
    with pytest.raises(InvalidInput, match="shape"):
        evaluate(prior, problem, images[:, :, :8], [method], out=tmp_path)
    with pytest.raises(InvalidInput, match="range is"):
        evaluate(prior, problem, images * 100, [method], out=tmp_path)
    with pytest.raises(InvalidInput, match="none of the methods"):
        evaluate(prior, problem, images, [method], out=tmp_path, reference="b")
    with pytest.raises(InvalidInput, match="paths: got 1; expected at least 2"):
        evaluate(prior, problem, images, [method], out=tmp_path, paths=1)
    with pytest.raises(InvalidInput, match="no results"):
        read_results(tmp_path)


def test_what_does_not_apply_is_refused_before_anything_is_drawn(
    prior, images, tmp_path, monkeypatch
):
    calls = counting(monkeypatch)
    twisted = ResampledSMC(TwistedSMC(GaussianPotential.for_prior(prior), 2), 4)
    methods = [Method("a", None, DDIM(1)), Method("b", NoConditioning(), twisted)]
    with pytest.raises(
        InvalidInput,
        match=r"b: TwistedSMC needs a density.*sample without weights: use the sampler DDIM",
    ):
        evaluate(prior, Inpainting(sigma_y=0.0), images, methods, out=tmp_path, progress=False)
    assert calls == []
    assert list(tmp_path.iterdir()) == []


class TestWeights:
    @pytest.fixture(scope="class")
    def results(self, prior, images, tmp_path_factory):
        out = tmp_path_factory.mktemp("weights")
        twist = GaussianPotential.for_prior(prior)
        methods = [
            Method("h, no weights", PiGDM(), DDIM(3)),
            Method("paths", PiGDM(), DDIM(3, eta=1.0)),
            Method(
                "SMC",
                NoConditioning(),
                ResampledSMC(TwistedSMC(twist, 3, threshold=0.0), 4),
                images=2,
            ),
        ]
        run = {"out": out, "samples": 2, "progress": False, "paths": 4}
        evaluate(prior, Inpainting(sigma_y=0.05), images[:3], methods, **run)
        return evaluate(
            prior, Inpainting(sigma_y=0.05), images[:3], methods, **run
        )  # from what is kept

    def test_they_are_reported_and_never_hidden(self, results):
        plain, paths, smc = results["methods"]
        assert plain["weights"] is paths["weights"] is None
        assert len(smc["weights"]) == 2
        assert (
            smc["collapsed"] == sum(card["lowest_ess"] < 2 for card in smc["weights"]) > 0
        )  # four particles that know nothing
        assert smc["summary"]["evaluations"]["value"] == 3 * 4 / 2

    def test_paths_are_weighed_where_there_is_a_density(self, results):
        plain, paths, _ = results["methods"]
        assert plain["path_weights"]["cards"] == []
        assert "eta = 0" in plain["path_weights"]["reason"]
        assert [card["samples"] for card in paths["path_weights"]["cards"]] == [4, 4, 4]
        assert paths["path_weights"]["reason"] is None

    def test_the_table(self, results):
        text = weights_table(results).markdown()
        assert "| paths (paths) |" in text
        assert "| SMC (samples chosen by weight) |" in text
        assert "eta = 0" in text
        assert "weights collapsed on" in results_table(results).markdown()


def test_clipping_is_for_all_and_recorded(prior, images, tmp_path):
    run = {"samples": 1, "progress": False}
    method = [Method("a", None, DDIM(1))]
    plain = evaluate(prior, Inpainting(sigma_y=0.05), images, method, out=tmp_path, **run)
    clipped = evaluate(
        prior, Inpainting(sigma_y=0.05), images, method, out=tmp_path, clip=True, **run
    )
    assert (plain["clipped"], clipped["clipped"]) == (False, True)
    expected = psnr(read_samples(tmp_path, "a", 5)[:, 0].clamp(-1, 1), images, 2.0).tolist()
    assert clipped["methods"][0]["per_image"]["psnr_single"] == pytest.approx(expected, rel=1e-5)


def test_what_the_measurement_is_blind_to_is_aligned_before_it_is_scored(prior, images, tmp_path):
    problem = PhaseRetrieval(iterations=5, restarts=1)
    results = evaluate(
        prior,
        problem,
        images,
        [Method("a", None, DDIM(1))],
        out=tmp_path,
        samples=2,
        progress=False,
    )
    assert results["aligned"] == problem.operator(images, Noise([])).symmetries != ""
    drawn = torch.cat([part.samples for part in read_parts(tmp_path / "parts" / "a")])
    aligned, operator = read_samples(tmp_path, "a", 5), problem.operator(images, Noise([]))
    torch.testing.assert_close(aligned[:, 1], operator.align(drawn[:, 1], images))
    assert results["methods"][0]["per_image"]["psnr_mean"] == pytest.approx(
        psnr(aligned.mean(1), images, 2.0).tolist(), rel=1e-5
    )
    assert "blind to a rotation by 180 degrees" in write_report(tmp_path).read_text()
    other = evaluate(
        prior,
        Inpainting(sigma_y=0.05),
        images,
        [Method("a", None, DDIM(1))],
        out=tmp_path / "b",
        samples=2,
        progress=False,
    )
    assert other["aligned"] == ""


class TestContext:
    def test_every_image_has_its_own(self, tmp_path):
        labels = torch.linspace(-0.8, 0.8, 5)
        images = labels[:, None, None, None].expand(-1, 1, 16, 16)
        prior = Labelled().given(labels=labels)
        methods = [Method("a", None, DDIM(2)), Method("b", NoConditioning(), DDIM(2), images=3)]
        results = evaluate(
            prior,
            Inpainting(sigma_y=0.05),
            images,
            methods,
            out=tmp_path,
            samples=3,
            batch_size=6,
            progress=False,
        )
        assert torch.equal(
            read_samples(tmp_path, "a", 5), images[:, None].expand(-1, 3, -1, -1, -1)
        )
        assert torch.equal(
            read_samples(tmp_path, "b", 5), images[:3, None].expand(-1, 3, -1, -1, -1)
        )
        assert [m["summary"]["evaluations"]["value"] for m in results["methods"]] == [2, 2]
        with pytest.raises(InvalidInput, match=r"context\.labels: .* before, .* now"):
            evaluate(
                Labelled().given(labels=-labels),
                Inpainting(sigma_y=0.05),
                images,
                methods,
                out=tmp_path,
                samples=3,
                progress=False,
            )

    def test_one_for_all(self, images, tmp_path):
        prior = Labelled().given(labels=torch.full((1,), 0.5))
        evaluate(
            prior,
            Inpainting(sigma_y=0.05),
            images,
            [Method("a", None, DDIM(2))],
            out=tmp_path,
            samples=1,
            progress=False,
        )
        assert torch.equal(read_samples(tmp_path, "a", 5), torch.full((5, 1, 1, 16, 16), 0.5))

    def test_for_another_number_of_images(self, images, tmp_path):
        with pytest.raises(InvalidInput, match="context for 2 signals and there are 5 images"):
            evaluate(
                Labelled().given(labels=torch.zeros(2)),
                Inpainting(sigma_y=0.05),
                images,
                [Method("a", None, DDIM(2))],
                out=tmp_path,
            )


def test_learned_measures_need_the_users_files(finished, prior, h_transform, images, tmp_path):
    assert read_results(finished)["weights"] == {
        "LPIPS": "not available",
        "FID and KID": "not available",
        "Judge": "not available",
    }
    path = tmp_path / "features.ts"
    torch.jit.save(
        torch.jit.trace(
            torch.nn.Sequential(torch.nn.AvgPool2d(8), torch.nn.Flatten()),
            torch.zeros(1, 3, 16, 16),
        ),
        str(path),
    )
    weights = Weights(features=path)
    arguments = {"out": finished, "samples": 2, "progress": False}
    results = evaluate(
        prior, Inpainting(sigma_y=0.05), images, methods(h_transform), weights=weights, **arguments
    )
    assert results["weights"]["FID and KID"]["sha256"] == [
        hashlib.sha256(path.read_bytes()).hexdigest()
    ]
    learned = results["methods"][2]["summary"]
    values = [
        kid(read_samples(finished, "DEFT", 5)[:, j], images, weights=path).value for j in range(2)
    ]
    assert learned["kid"]["value"] == pytest.approx(1000 * np.mean(values), rel=1e-4)
    assert learned["kid"]["standard_error"] > 0
    assert learned["fid"]["standard_error"] is None
    assert "lpips" not in learned


class Breaks(Prior):
    """Gives NaN for the second of two signals that are denoised."""

    schedule, event_shape, value_range, name = VPLinear(), (1, 16, 16), (-1.0, 1.0), "breaks"

    def denoise(self, x_t, t):
        x_0_hat = torch.zeros_like(x_t)
        x_0_hat[1] = torch.nan
        return x_0_hat


class TestNotFinite:
    def test_it_is_marked_in_results_table_and_page(self, images, tmp_path):
        with pytest.warns(UserWarning, match=r"a: NaN or infinite values in 1 sample \(image 2\)"):
            results = evaluate(
                Breaks(),
                Inpainting(sigma_y=0.05),
                images[:2],
                [Method("a", None, DDIM(1))],
                out=tmp_path,
                samples=1,
                progress=False,
            )
        assert (
            results["methods"][0]["broken_samples"],
            results["methods"][0]["broken_images"],
        ) == (1, [1])
        assert "1 sample not finite" in results_table(results).markdown()
        page = write_report(tmp_path).read_text()
        assert "a: NaN or infinite values in 1 of 2 samples (image 2)" in page
        assert "magenta" in page

    @pytest.mark.parametrize("value", [math.nan, math.inf])
    def test_images_that_are_not_finite_are_refused(self, prior, images, tmp_path, value):
        broken = images.clone()
        broken[1, 0, 0, 0] = value
        with pytest.raises(InvalidInput) as raised:
            evaluate(
                prior,
                Inpainting(sigma_y=0.05),
                broken,
                [Method("a", None, DDIM(1))],
                out=tmp_path,
                samples=1,
                progress=False,
            )
        assert (raised.value.what, raised.value.given) == (
            "images",
            "NaN or infinite values in image 2",
        )

    def test_no_signal_at_once_is_refused(self, prior, images, tmp_path):
        with pytest.raises(InvalidInput, match="batch_size: got"):
            evaluate(
                prior,
                Inpainting(sigma_y=0.05),
                images,
                [Method("a", None, DDIM(1))],
                out=tmp_path,
                batch_size=0,
                progress=False,
            )


def test_one_run_has_the_folder(prior, images, tmp_path):
    code = (
        "import sys; from deft.storage.lock import locked\nwith locked(sys.argv[1]): print('held', "
        "flush=True); sys.stdin.read()"
    )
    run = {"out": tmp_path, "samples": 1, "progress": False}
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(FolderInUse) as raised:
            evaluate(prior, Inpainting(sigma_y=0.05), images, [Method("a", None, DDIM(1))], **run)
        assert f"process {other.pid}" in raised.value.given
        other.communicate(timeout=60)
    evaluate(prior, Inpainting(sigma_y=0.05), images, [Method("a", None, DDIM(1))], **run)
    assert not (tmp_path / lock.NAME).exists()


@pytest.mark.parametrize("name", ["results.json", "evaluation.json"])
@pytest.mark.parametrize("content", ["", "{", "[]"])
def test_a_damaged_record_is_named(prior, images, tmp_path, name, content):
    def run():
        evaluate(
            prior,
            Inpainting(sigma_y=0.05),
            images,
            [Method("a", None, DDIM(1))],
            out=tmp_path,
            samples=1,
            progress=False,
        )

    run()
    (tmp_path / name).write_text(content)
    with pytest.raises(CheckpointError, match=name):
        read_results(tmp_path) if name == "results.json" else run()
