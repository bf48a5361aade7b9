"""The operator behind a measurement, from what a user says of it."""

import numpy as np
import pytest
import torch
from PIL import Image

import deft
from deft.errors import BadImage, InvalidInput
from deft.operators import Blur, Inpainting
from deft.pipeline.operators import masks, operator_of, size_of
from deft.priors.callable import CallablePrior
from deft.schedules import VPLinear
from tests.refusal import refused

SIZE = 16
MASK = np.zeros((SIZE, SIZE), np.uint8)
MASK[3:9, 2:7] = 1


def prior(channels=1):
    return CallablePrior(
        lambda x_t, t: 0 * x_t, VPLinear(), (channels, SIZE, SIZE), 0.5, value_range=(-1.0, 1.0)
    )


def of(problem, **said):
    return operator_of(prior(2 if type(problem).__name__ == "MRI" else 1), problem, **said)


def test_masks_of_every_kind_are_the_same(tmp_path):
    """1 or white is observed; pictures, files, arrays of 0 and 1 or of 0 and 255, truth values."""
    picture = Image.fromarray(MASK * 255)
    picture.save(tmp_path / "mask.png")
    np.save(tmp_path / "mask.npy", MASK)
    problem = deft.problems.Inpainting(sigma_y=0.1)
    for mask in (
        picture,
        tmp_path / "mask.png",
        str(tmp_path / "mask.npy"),
        MASK,
        MASK * 255,
        MASK.astype(bool),
        MASK.astype(float),
        torch.from_numpy(MASK)[None, None],
        [picture],
    ):
        operator = of(problem, mask=mask)
        assert isinstance(operator, Inpainting)
        assert np.array_equal(operator.mask[0, 0].numpy(), MASK)
    inverted = of(problem, mask=picture, invert_mask=True)
    assert np.array_equal(inverted.mask[0, 0].numpy(), 1 - MASK)


def test_a_mask_for_each_measurement():
    assert masks([MASK, Image.fromarray(255 - MASK * 255)], False).shape == (2, SIZE, SIZE)
    assert of(deft.problems.Inpainting(), mask=np.stack([MASK, 1 - MASK])).signals == 2


def test_a_mask_of_frequencies():
    lines = np.zeros((SIZE, SIZE))
    lines[:, ::2] = 1
    operator = of(deft.problems.MRI(), mask=lines)
    assert type(operator) is deft.operators.MRI


def test_kernels():
    """Weights as they are; the brightness of a picture is divided by its sum."""
    weights = np.random.default_rng(0).random((5, 5))
    weights /= weights.sum()
    x = torch.randn(1, 1, SIZE, SIZE)
    for border in ("circular", "reflect"):
        problem = deft.problems.Deblurring(border=border)
        expected = Blur(torch.tensor(weights, dtype=torch.float32)[None], border)(x)
        torch.testing.assert_close(of(problem, kernel=weights)(x), expected)
        torch.testing.assert_close(of(problem, kernel=torch.tensor(weights)[None])(x), expected)
    grey = np.round(weights * 5000).astype(np.uint16)
    same = torch.tensor(grey / grey.sum(), dtype=torch.float32)[None]
    for kernel in (grey, Image.fromarray(grey)):
        torch.testing.assert_close(of(problem, kernel=kernel)(x), Blur(same, "reflect")(x))
    camera = of(deft.problems.NonlinearBlur(), kernel=weights)
    assert type(camera) is deft.operators.NonlinearBlur
    assert camera.exposure == 1.2


def test_angles_are_degrees():
    problem = deft.problems.Tomography(4, window=(-1000, 1500), mu_water=0.2, field=40)
    angles = [0.0, 30.0, 75.0]
    operator = of(problem, angles=angles)
    x = torch.randn(1, 1, SIZE, SIZE)
    own = problem.operator(x, deft.Noise([0]))
    even = of(problem, angles=np.arange(4) * 45.0)
    torch.testing.assert_close(even(x), own(x))
    assert size_of(operator, (1, SIZE, SIZE))[1] == 3
    counts = deft.problems.Tomography(4, photons=1e4)
    assert type(of(counts, angles=angles)) is deft.operators.Transmission
    with pytest.raises(InvalidInput, match="draws it between"):
        of(deft.problems.Tomography(4, photons=(1e3, 1e4)), angles=angles)


def test_the_problems_own():
    x = torch.randn(1, 1, SIZE, SIZE)
    problem = deft.problems.SuperResolution(4)
    assert torch.equal(of(problem)(x), problem.operator(x, deft.Noise([9]))(x))


@pytest.mark.parametrize(
    ("problem", "advice"),
    [
        (deft.problems.Inpainting(), "mask="),
        (deft.problems.MRI(), "mask="),
        (deft.problems.Deblurring("motion"), "kernel="),
        (deft.problems.Tomography(4, angles="turned"), "angles="),
    ],
)
def test_a_problem_that_draws_says_what_it_needs(problem, advice):
    refused(lambda: of(problem), "nothing", "draws one for each signal", advice)


@pytest.mark.parametrize(
    ("problem", "said", "given"),
    [
        (deft.problems.Denoising(), {"mask": MASK}, "a mask"),
        (deft.problems.Inpainting(), {"kernel": MASK}, "a kernel"),
        (deft.problems.Inpainting(), {"angles": [0.0]}, "angles"),
        (deft.problems.Inpainting(), {"mask": MASK, "angles": [0.0]}, "angles beside mask"),
        (deft.problems.Inpainting(), {"mask": 3}, "int"),
        (deft.problems.Inpainting(), {"mask": np.zeros(5)}, "an array of shape (5,)"),
        (deft.problems.Inpainting(), {"mask": MASK[1:]}, "15 x 16 (height x width)"),
        (deft.problems.Denoising(), {"operator": abs}, "builtin_function_or_method"),
        (deft.problems.Denoising(), {"invert_mask": True}, True),
        (deft.problems.Deblurring(), {"kernel": "sharp"}, "str"),
        (deft.problems.Tomography(4), {"angles": ["a"]}, "values of <U1"),
    ],
)
def test_what_is_refused(problem, said, given):
    with pytest.raises(InvalidInput) as raised:
        of(problem, **said)
    assert raised.value.given == given
    assert raised.value.expected


def test_a_photograph_is_no_mask():
    grey = np.random.default_rng(0).integers(20, 200, (SIZE, SIZE)).astype(np.uint8)
    with pytest.raises(BadImage, match="between black and white"):
        of(deft.problems.Inpainting(), mask=Image.fromarray(grey))
