import json

import pytest
import torch
from tqdm.auto import tqdm

from deft.errors import CheckpointError, InvalidInput, OutOfMemory
from deft.htransforms.base import NoConditioning
from deft.htransforms.gaussian_potential import GaussianPotential
from deft.noise import Noise
from deft.priors.unet import UNetPrior
from deft.problems import Inpainting
from deft.samplers.ddim import DDIM
from deft.samplers.smc import ResampledSMC, TwistedSMC
from deft.storage.claims import claim
from deft.studies.evaluation import evaluate
from deft.studies.method import Method
from deft.studies.parts import Part, draw, read_parts


def drawn(prior, images, folder, batch_size=4):
    """Two samples of every image in steps of two images."""
    observation = Inpainting(sigma_y=0.05).draw(images, Noise(range(len(images))))
    method = Method("a", None, DDIM(2))
    parts = draw(
        prior, observation, method, folder, 2, range(len(images)), batch_size, tqdm(disable=True)
    )
    return sorted(parts, key=lambda part: part.start)


def samples(parts):
    return torch.cat([part.samples for part in parts])


def test_parts_are_kept(prior, images, tmp_path):
    first = drawn(prior, images, tmp_path)
    assert [
        (part.start, len(part.samples), part.evaluations, part.gradients) for part in first
    ] == [
        (0, 2, 8, 0),
        (2, 2, 8, 0),
        (4, 1, 4, 0),
    ]
    stored = read_parts(tmp_path / "parts" / "a")
    assert torch.equal(samples(stored), samples(first))
    assert [part.seconds for part in stored] == [part.seconds for part in first]


def test_what_is_missing_is_drawn(prior, images, tmp_path):
    first = drawn(prior, images, tmp_path)
    next((tmp_path / "parts" / "a").glob("000002-*.npz")).unlink()
    again = drawn(prior, images, tmp_path, batch_size=20)
    torch.testing.assert_close(
        samples(again), samples(first)
    )  # a batch of another size is rounded differently
    assert [part.seconds for part in again][::2] == [part.seconds for part in first][::2]


def test_fewer_images_than_there_are(prior, images, tmp_path):
    first = drawn(prior, images, tmp_path)
    assert torch.equal(samples(drawn(prior, images[:3], tmp_path)), samples(first)[:3])


def test_the_first_images_of_a_part_share_its_costs():
    part = Part(4, torch.zeros(4, 2, 1), 8.0, 40, 20, 7, tuple({"i": i} for i in range(4)))
    first = part.first(3)
    assert (
        first.start,
        len(first.samples),
        first.seconds,
        first.evaluations,
        first.gradients,
        first.memory,
    ) == (4, 3, 6.0, 30, 15, 7)
    assert first.weights == ({"i": 0}, {"i": 1}, {"i": 2})
    assert part.first(9).evaluations == 40


def test_what_is_known_of_weights_is_kept(prior, images, tmp_path):
    observation = Inpainting(sigma_y=0.5).draw(images[:2], Noise(range(2)))
    method = Method(
        "smc", NoConditioning(), ResampledSMC(TwistedSMC(GaussianPotential.for_prior(prior), 2), 4)
    )
    parts = draw(prior, observation, method, tmp_path, 3, range(2), 4, tqdm(disable=True))
    assert [part.start for part in parts] == [0, 1]  # four particles of one image at once
    assert all(part.samples.shape == (1, 3, 1, 16, 16) and part.evaluations == 8 for part in parts)
    assert all(part.weights[0]["samples"] == 4 for part in parts)
    assert all(part.memory is None for part in parts)  # on a CPU
    assert [part.weights for part in read_parts(tmp_path / "parts" / "smc")] == [
        part.weights for part in parts
    ]


def test_a_claim_is_kept(tmp_path):
    path = tmp_path / "folder" / "card.json"
    claim(path, {"seed": 0, "problem": {"sigma_y": (0.1, 0.2)}}, "this run")
    claim(path, {"seed": 0, "problem": {"sigma_y": [0.1, 0.2]}}, "this run")
    claim(
        path, {"seed": 0, "problem": {"sigma_y": [0.1, 0.2], "fingerprint": "a"}}, "this run"
    )  # which earlier versions did not record
    with pytest.raises(
        InvalidInput,
        match=r"results of this run in another configuration: seed: 0 before, 1 now; steps: null "
        r"before, 5 now",
    ):
        claim(path, {"seed": 1, "steps": 5, "problem": {"sigma_y": [0.1, 0.2]}}, "this run")
    assert json.loads(path.read_text())["seed"] == 0


def test_a_damaged_part_is_named(prior, images, tmp_path):
    run = {"out": tmp_path, "samples": 1, "progress": False}
    evaluate(prior, Inpainting(sigma_y=0.05), images, [Method("a", None, DDIM(1))], **run)
    part = next((tmp_path / "parts" / "a").glob("*.npz"))
    part.write_bytes(part.read_bytes()[:100])
    with pytest.raises(CheckpointError, match=part.name):
        evaluate(prior, Inpainting(sigma_y=0.05), images, [Method("a", None, DDIM(1))], **run)


def test_what_to_do_after_an_interruption_or_without_memory(prior, images, tmp_path, monkeypatch):
    def run():
        evaluate(
            prior,
            Inpainting(sigma_y=0.05),
            images,
            [Method("a", None, DDIM(1))],
            out=tmp_path,
            samples=1,
            progress=False,
            batch_size=8,
        )

    for raised, expected, advice in (
        (KeyboardInterrupt(), KeyboardInterrupt, "the same call goes on"),
        (torch.OutOfMemoryError("CUDA out of memory"), OutOfMemory, "try batch_size=2"),
        (RuntimeError("something else"), RuntimeError, "something else"),
    ):

        def fail(self, x_t, t, raised=raised):
            raise raised

        with monkeypatch.context() as patch:
            patch.setattr(UNetPrior, "denoise", fail)
            with pytest.raises(expected, match=advice):
                run()
    run()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch counts memory on a GPU alone")
def test_peak_memory_on_a_gpu(prior, images, tmp_path):
    prior, observation = (
        prior.to("cuda"),
        Inpainting(sigma_y=0.05).draw(images.to("cuda"), Noise(range(len(images)), "cuda")),
    )
    parts = draw(
        prior, observation, Method("a", None, DDIM(2)), tmp_path, 2, range(5), 4, tqdm(disable=True)
    )
    prior.to("cpu")
    assert all(part.memory > sum(p.nbytes for p in prior.parameters()) for part in parts)
