"""Measurements as a user holds them, as observations."""

import numpy as np
import pytest
import torch
from hypothesis import given as drawn_from
from hypothesis import settings
from hypothesis import strategies as st
from PIL import Image

import deft
from deft.errors import BadImage, InvalidInput
from deft.pipeline.measured import keeps_range, observation_of
from deft.pipeline.read import Given
from deft.priors.callable import CallablePrior
from deft.problems import (
    Deblurring,
    Denoising,
    Inpainting,
    NonlinearBlur,
    SuperResolution,
    Tomography,
)
from deft.schedules import VPLinear
from tests.data.slices import write_dicom
from tests.refusal import refused

SIZE = 8


def prior(channels=1, value_range=(-1.0, 1.0), size=SIZE):
    return CallablePrior(
        lambda x_t, t: 0 * x_t, VPLinear(), (channels, size, size), 0.5, value_range=value_range
    )


def observed(measurements, problem=None, of=None, **given):
    return observation_of(
        measurements, of or prior(), problem or Denoising(sigma_y=0.1), Given(**given)
    )


def levels(seed=0, shape=(SIZE, SIZE), kind=np.uint8):
    full = np.iinfo(kind).max
    return np.random.default_rng(seed).integers(0, full + 1, shape).astype(kind)


def as_prior(array, full=255):
    return torch.from_numpy(array.astype(np.float32)) / full * 2 - 1


def test_a_picture_an_array_a_tensor_and_a_file_are_the_same(tmp_path):
    """uint8 runs over 0..255, whatever holds it; floats over what is said, or the prior's range."""
    array = levels()
    image = Image.fromarray(array)
    image.save(tmp_path / "y.png")
    np.save(tmp_path / "y.npy", array)
    expected = as_prior(array)[None, None]
    for same in (
        image,
        array,
        array[None],
        array[None, None],
        torch.from_numpy(array),
        tmp_path / "y.png",
        str(tmp_path / "y.npy"),
        expected,
        expected[0].numpy(),
    ):
        torch.testing.assert_close(observed(same).y, expected)
    torch.testing.assert_close(observed(array / 255.0, value_range=(0, 1)).y, expected)
    torch.testing.assert_close(observed(array.astype(float), value_range=(0, 255)).y, expected)


def test_sixteen_bits():
    array = levels(kind=np.uint16)
    torch.testing.assert_close(observed(array).y[0, 0], as_prior(array, 65535))


def test_channels_last_and_a_batch():
    colour = levels(shape=(SIZE, SIZE, 3))
    expected = as_prior(colour).movedim(-1, 0)
    several = np.stack([colour, levels(1, (SIZE, SIZE, 3))])
    for one in (colour, Image.fromarray(colour), colour.transpose(2, 0, 1)):
        torch.testing.assert_close(observed(one, of=prior(3)).y[0], expected)
    assert observed(several, of=prior(3)).y.shape == (2, 3, SIZE, SIZE)
    assert observed(list(map(Image.fromarray, several)), of=prior(3)).y.shape[0] == 2


def test_a_folder_of_pictures(tmp_path):
    for k in range(3):
        Image.fromarray(levels(k)).save(tmp_path / f"{k}.png")
    y = observed(tmp_path).y
    torch.testing.assert_close(y[2, 0], as_prior(levels(2)))
    assert len(y) == 3


def test_the_noise_has_the_unit_of_the_measurements():
    """The same measurement in three units has the same likelihood."""
    array = levels()
    a = observed(array, sigma_y=12.75)
    b = observed(array / 255.0, value_range=(0, 1), sigma_y=0.05)
    c = observed(as_prior(array), sigma_y=0.1)
    for one in (a, b, c):
        torch.testing.assert_close(one.sigma_y, torch.tensor([0.1]))
        torch.testing.assert_close(one.y, a.y)
    assert float(observed(array).sigma_y) == pytest.approx(0.1)  # the problem's


@settings(max_examples=25)
@drawn_from(st.floats(-1000, 1000), st.floats(0.1, 1000), st.floats(0, 1))
def test_the_unit_of_measurements_changes_nothing(low, width, sigma_y):
    x = torch.linspace(-1, 1, SIZE * SIZE, dtype=torch.float64).reshape(SIZE, SIZE)
    theirs = low + (x + 1) / 2 * width
    found = observed(theirs, value_range=(low, low + width), sigma_y=sigma_y * width / 2)
    rounding = 1e-6 * (1 + abs(low) / width)
    torch.testing.assert_close(found.y[0, 0], x.float(), rtol=0, atol=2 * rounding)
    assert float(found.sigma_y) == pytest.approx(sigma_y, rel=1e-5, abs=1e-7)


def test_a_noise_level_of_the_prior_is_no_grey_level():
    error = refused(lambda: observed(levels(), sigma_y=0.05), 0.05, "grey levels")
    assert "6.38" in error.advice
    assert float(observed(levels(), sigma_y=0.0).sigma_y) == 0


def test_dicom_slices_run_over_the_window(tmp_path):
    hu = np.linspace(-1200, 1600, SIZE * SIZE).reshape(SIZE, SIZE).astype(np.int16)
    write_dicom(tmp_path / "one.dcm", hu, intercept=0.0)
    window = (-1000.0, 1500.0)
    expected = torch.from_numpy(hu.astype(np.float32)).clamp(*window)
    expected = 2 * (expected + 1000) / 2500 - 1
    for given in ({"window": window}, {"value_range": window}):
        found = observed(tmp_path / "one.dcm", sigma_y=125.0, **given)
        torch.testing.assert_close(found.y[0, 0], expected)
        assert float(found.sigma_y) == pytest.approx(0.1)
    with pytest.raises(InvalidInput, match="Hounsfield"):
        observed(tmp_path / "one.dcm")
    refused(lambda: observed(tmp_path, convert="grey", window=window), "grey", "CT slices")


def test_an_observation_is_taken_as_it_is():
    one = Denoising(0.1).draw(torch.zeros(2, 1, SIZE, SIZE), deft.Noise([0, 1]))
    assert torch.equal(observed(one).y, one.y)
    refused(lambda: observed(one, sigma_y=0.1), "sigma_y beside an Observation", "says itself")


def test_hidden_places_may_hold_anything():
    mask = np.ones((SIZE, SIZE))
    mask[:2] = 0
    y = np.full((SIZE, SIZE), 0.5, np.float32)
    y[0, 0] = np.nan
    found = observed(y, Inpainting(sigma_y=0.1), mask=mask)
    assert float(found.y[0, 0, 0].abs().sum()) == 0
    y[5, 5] = np.nan
    with pytest.raises(InvalidInput, match="not finite"):
        observed(y, Inpainting(sigma_y=0.1), mask=mask)


@pytest.mark.parametrize(
    ("problem", "keeps"),
    [
        (Denoising(), True),
        (SuperResolution(2), True),
        (Inpainting("box"), True),
        (Deblurring(), True),
        (NonlinearBlur(), True),
        (Tomography(4), False),
    ],
)
def test_which_measurements_are_in_the_range_of_signals(problem, keeps):
    operator = problem.operator(torch.zeros(1, 1, SIZE, SIZE), deft.Noise([0]))
    assert keeps_range(operator, prior()) is keeps
    assert keeps_range(operator, prior(value_range=None)) is False


def test_numbers_of_other_units_are_not_converted():
    scan = np.zeros((4, 12), np.float32)
    problem = Tomography(4, detectors=12, sigma_y=0.1)
    assert observed(scan, problem).y.shape == (1, 1, 4, 12)
    for array, given in ((scan, {"value_range": (0, 1)}), (scan.astype(np.uint8), {})):
        with pytest.raises(InvalidInput) as raised:
            observed(array, problem, **given)
        assert "not in the range of the signals" in str(raised.value.expected)


def test_what_looks_like_another_range():
    with pytest.raises(InvalidInput) as raised:
        observed(np.random.default_rng(0).uniform(0, 1, (2, SIZE, SIZE)))
    assert "value_range=(0, 1)" in raised.value.advice
    with pytest.raises(InvalidInput) as raised:
        observed(levels().astype(float))
    assert "value_range=(0, 255)" in raised.value.advice
    with pytest.raises(InvalidInput, match="turned to the range"):
        observed(levels().astype(float), value_range=(0, 1))


@pytest.mark.parametrize(
    ("measurements", "given", "what"),
    [
        (None, {}, "NoneType"),
        ([], {}, "an empty list"),
        ([[0.0, 1.0]], {}, "a list of numbers or lists"),
        (levels().astype(np.int64), {}, "values of int64"),
        (levels() > 3, {}, "values of bool"),
        (levels(shape=(SIZE, SIZE + 1)), {}, f"shape (1, {SIZE}, {SIZE + 1})"),
        (levels(), {"value_range": (0, 1)}, (0, 1)),
        (as_prior(levels()), {"value_range": (1, 0)}, (1, 0)),
        (as_prior(levels()), {"convert": "grey"}, "grey"),
        (as_prior(levels()), {"sigma_y": -1}, -1),
        ([levels(), as_prior(levels())], {}, "whole and floating-point numbers in one list"),
        (np.zeros((0, SIZE, SIZE), np.float32), {}, f"shape (0, {SIZE}, {SIZE})"),
    ],
)
def test_what_is_refused(measurements, given, what):
    with pytest.raises(InvalidInput) as raised:
        observed(measurements, **given)
    if what != f"shape (1, {SIZE}, {SIZE + 1})":
        assert raised.value.given == what
    else:
        assert str(SIZE + 1) in str(raised.value.given)
    assert raised.value.expected


def test_a_larger_picture_is_told_of_tiles():
    with pytest.raises(InvalidInput) as raised:
        observed(levels(shape=(20, 30)))
    assert "pipe.tiled((1, 20, 30))" in raised.value.advice


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(BadImage, match="does not exist"):
        observed(tmp_path / "none.png")
    (tmp_path / "bad.png").write_bytes(b"no picture")
    with pytest.raises(BadImage, match="truncated or no image"):
        observed(tmp_path / "bad.png")
    with pytest.raises(BadImage, match="convert='grey'"):
        observed(Image.fromarray(levels(shape=(SIZE, SIZE, 3))))
    assert observed(Image.fromarray(levels(shape=(SIZE, SIZE, 3))), convert="grey").y.shape[1] == 1


def test_a_standard_deviation_for_each_entry() -> None:
    """In the unit of the measurements; y itself comes back."""
    y = np.random.default_rng(0).uniform(0, 1, (1, SIZE, SIZE)).astype(np.float32)
    sigma = torch.linspace(0.1, 0.3, SIZE**2).reshape(1, SIZE, SIZE)
    found = observed(y, sigma_y=sigma, value_range=(0.0, 1.0))
    assert found.is_whitened
    level = 2 * (1 / sigma**2).mean() ** -0.5
    torch.testing.assert_close(found.sigma_y, level[None])
    torch.testing.assert_close(found.measured[0], 2 * torch.from_numpy(y) - 1)
