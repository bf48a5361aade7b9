"""Samples of shipped files, as they were when the generator of the draws was chosen: to rounding.

`python -m tests.test_shipped_samples --write` stores them anew.
"""

import json
import sys
from pathlib import Path

import pytest
import torch

import deft

STORED = Path(__file__).parent / "golden" / "shipped_samples.json"
NAMES = (
    "h-digits-32-inpainting",
    "h-digits-32-super-resolution",
    "h-digits-32-hdr",
    "h-natural-64-inpainting",
    "h-ct-128-views-60",
)


def rings(shape):
    """An image whose brightness oscillates with the square of the distance from a corner."""
    channels, height, width = shape
    y, x = torch.meshgrid(torch.linspace(0, 1, height), torch.linspace(0, 1, width), indexing="ij")
    phase = torch.arange(channels)[:, None, None] / 3
    return (0.8 * torch.sin(9 * (x**2 + 0.7 * y**2) + phase))[None]


def drawn(name):
    """Sixteen places of one sample, and its mean and standard deviation."""
    shipped = deft.load(name)
    x_0 = rings(shipped.prior.event_shape)
    observation = shipped.problem.draw(x_0, deft.Noise([11]))
    sample = deft.DPMSolver(6)(
        deft.Posterior(shipped.prior, shipped.h, observation), 1, seed=3
    ).flatten()
    places = torch.linspace(0, len(sample) - 1, 16).long()
    return [*sample[places].tolist(), float(sample.mean()), float(sample.std())]


@pytest.mark.parametrize("name", NAMES)
def test_a_sample_is_the_one_that_was_stored(name):
    stored = json.loads(STORED.read_text())
    assert stored["noise"] == deft.Noise.generator
    torch.testing.assert_close(
        torch.tensor(drawn(name)), torch.tensor(stored["samples"][name]), rtol=0, atol=2e-3
    )


if __name__ == "__main__" and "--write" in sys.argv:
    samples = {name: [round(value, 5) for value in drawn(name)] for name in NAMES}
    STORED.write_text(
        json.dumps({"noise": deft.Noise.generator, "samples": samples}, indent=1) + "\n"
    )
