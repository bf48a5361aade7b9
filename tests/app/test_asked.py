"""Requests of the page, as observations."""

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image

import deft
from deft.app.asked import VALUES, Asked, measured, picture
from deft.app.limits import Limits
from deft.app.ways import DRAWN, GIVEN, PAINTED, said, ways
from deft.errors import BadImage, DeftError, InvalidInput
from deft.operators.inpainting import Inpainting
from tests.app import shown
from tests.data.slices import write_dicom

LIMITS = Limits()
NOISE = deft.Noise([0])


@pytest.fixture(scope="module")
def pipe():
    return deft.load(shown.DIGITS)


@pytest.fixture
def ring(tmp_path):
    return shown.digit(tmp_path / "ring.png")


def asked(path, way=PAINTED, h=shown.DIGITS, **more):
    painted = shown.painted(shown.hole()) if way == PAINTED else None
    return Asked(**{"h": h, "file": path, "way": way, "painted": painted, **more})


def test_a_picture_is_in_the_range_of_the_prior(pipe, ring):
    x = picture(asked(ring), pipe, LIMITS)
    pixels = torch.from_numpy(np.asarray(Image.open(ring), np.float32))
    torch.testing.assert_close(x[0], pixels / 127.5 - 1)


def test_what_is_painted_is_not_measured(pipe, ring):
    found = measured(asked(ring), pipe, LIMITS)
    x = picture(asked(ring), pipe, LIMITS)
    np.testing.assert_array_equal(found.mask, shown.hole())
    mask = torch.from_numpy(shown.hole())
    assert torch.equal(found.observation.operator.mask[0, 0], mask)
    torch.testing.assert_close(found.observation.y[0], x * mask)
    assert float(found.observation.sigma_y) == pytest.approx(0.05)
    assert found.own_operator
    assert not found.own_noise


def test_noise_is_added_where_it_is_asked_for(pipe, ring):
    x = picture(asked(ring), pipe, LIMITS)
    noisy = measured(asked(ring, add_noise=True, sigma_y=0.2), pipe, LIMITS)
    seen = torch.from_numpy(shown.hole()) > 0
    noise = (noisy.observation.y[0] - x)[0][seen]
    assert float(noise.std()) == pytest.approx(0.2, rel=0.1)  # of 900 pixels
    assert noisy.own_noise
    again = measured(asked(ring, add_noise=True, sigma_y=0.2), pipe, LIMITS)
    assert torch.equal(again.observation.y, noisy.observation.y)
    other = measured(asked(ring, add_noise=True, sigma_y=0.2, seed=1), pipe, LIMITS)
    assert not torch.equal(other.observation.y, noisy.observation.y)


def test_a_clean_picture_is_measured_by_the_problem(pipe, ring):
    way = DRAWN + said(pipe.problem)
    found = measured(asked(ring, way), pipe, LIMITS)
    y, mask = found.observation.y[0, 0], found.observation.operator.mask[0, 0]
    assert 0.6 < float(mask.mean()) < 0.9  # 20 to 30 % is missing
    x = picture(asked(ring), pipe, LIMITS)[0]
    assert float((y - x)[mask > 0].std()) == pytest.approx(0.05, rel=0.15)
    assert found.mask is None
    assert not found.own_operator


def test_any_of_several_problems_measures_with_the_level_of_the_page(ring):
    several = deft.load("h-digits-32-any")
    every = {way.label: way for way in ways(several)}
    label = DRAWN + "SuperResolution(factor=4, kernel=average)"
    found = measured(asked(ring, label, sigma_y=0.0), several, LIMITS)
    x = picture(asked(ring), several, LIMITS)
    mean = torch.nn.functional.avg_pool2d(x[None], 4)
    torch.testing.assert_close(found.observation.y, mean, rtol=0, atol=1e-5)
    assert every[label].sigma_y == 0.05
    painted = measured(asked(ring, sigma_y=0.3), several, LIMITS)
    assert type(painted.observation.operator) is Inpainting
    assert float(painted.observation.sigma_y) == pytest.approx(0.3)


def test_a_measurement_with_its_mask(pipe, ring, tmp_path):
    Image.fromarray((255 * shown.hole()).astype(np.uint8)).save(tmp_path / "mask.png")
    found = measured(asked(ring, GIVEN, beside=tmp_path / "mask.png"), pipe, LIMITS)
    same = measured(asked(ring), pipe, LIMITS)
    np.testing.assert_array_equal(found.mask, shown.hole())
    torch.testing.assert_close(found.observation.y, same.observation.y)


def test_a_measurement_of_its_own_size(tmp_path):
    small = deft.load("h-digits-32-super-resolution")
    y = np.random.default_rng(0).uniform(-1, 1, (8, 8)).astype(np.float32)
    np.save(tmp_path / "y.npy", y)
    found = measured(asked(tmp_path / "y.npy", GIVEN, sigma_y=0.1), small, LIMITS)
    torch.testing.assert_close(found.observation.y[0, 0], torch.from_numpy(y))
    assert float(found.observation.sigma_y) == pytest.approx(0.1)
    assert found.own_noise
    np.save(tmp_path / "y.npy", (y + 1) / 2)
    unit = asked(tmp_path / "y.npy", GIVEN, values=VALUES[1])
    torch.testing.assert_close(
        measured(unit, small, LIMITS).observation.y[0, 0], torch.from_numpy(y), rtol=0, atol=1e-5
    )


def test_a_ct_slice_in_hounsfield_units(tmp_path):
    ct = deft.load("h-ct-128-views-20")
    hu = np.full((128, 128), -1000.0, np.float32)
    hu[32:96, 32:96] = 250
    np.save(tmp_path / "slice.npy", hu)
    way = ways(ct)[0].label
    x = picture(asked(tmp_path / "slice.npy", way, values=VALUES[2]), ct, LIMITS)
    assert float(x.min()) == pytest.approx(-1)
    assert float(x.max()) == pytest.approx(0)  # the middle of [-1000, 1500]
    np.save(tmp_path / "slice.npy", np.kron(hu, np.ones((2, 2), np.float32)))
    small = asked(tmp_path / "slice.npy", way, values=VALUES[2], size="scale to fit")
    torch.testing.assert_close(picture(small, ct, LIMITS), x)


def test_a_dicom_file(tmp_path):
    """Its window is that of the problem, whatever its name; the size is never changed unasked."""
    ct = deft.load("h-ct-128-views-20")
    hu = np.full((128, 128), -1000.0)
    hu[32:96, 32:96] = 250
    write_dicom(tmp_path / "slice", hu, intercept=0.0)
    way = ways(ct)[0].label
    x = picture(asked(tmp_path / "slice", way), ct, LIMITS)
    assert float(x.min()) == pytest.approx(-1)
    assert float(x.max()) == pytest.approx(0)
    found = measured(asked(tmp_path / "slice", way), ct, LIMITS)
    assert found.observation.y.shape[1:] == (
        1,
        20,
        ct.problem.operator(x[None], NOISE)(x[None]).shape[-1],
    )
    write_dicom(tmp_path / "large", np.kron(hu, np.ones((2, 2))), intercept=0.0)
    with pytest.raises(BadImage, match="256 x 256"):
        picture(asked(tmp_path / "large", way), ct, LIMITS)
    same = picture(asked(tmp_path / "large", way, size="scale to fit"), ct, LIMITS)
    torch.testing.assert_close(same, x)


def test_pictures_are_fitted_where_it_is_said(pipe, tmp_path):
    large = shown.digit(tmp_path / "large.png", (64, 96), colour=True)
    chosen = {"size": "cut out the middle", "channels": "grey"}
    x = picture(asked(large, **chosen), pipe, LIMITS)
    pixels = np.asarray(Image.open(large).convert("L"), np.float32)[16:48, 32:64]
    torch.testing.assert_close(x[0], torch.from_numpy(pixels) / 127.5 - 1)


@pytest.mark.parametrize(
    ("more", "error", "what", "part"),
    [
        ({"file": None}, InvalidInput, "file", "none"),
        ({"way": "x"}, InvalidInput, "way", "x"),
        ({"painted": None}, InvalidInput, "mask", "nothing painted"),
        ({"sigma_y": -1.0}, InvalidInput, "sigma_y", "-1"),
        ({"values": "x"}, InvalidInput, "values", "x"),
        ({"values": VALUES[2]}, InvalidInput, "values", "Hounsfield"),
        ({"size": "x"}, InvalidInput, "size", "x"),
        ({"channels": "x"}, InvalidInput, "channels", "x"),
        ({"way": GIVEN}, InvalidInput, "mask", "no second file"),
        ({"way": GIVEN, "add_noise": True}, InvalidInput, "add noise", "on"),
        ({"way": GIVEN, "beside": "ring", "size": "scale to fit"}, InvalidInput, "size", "scale"),
        ({"seed": -1}, InvalidInput, "seed", "-1"),
    ],
)
def test_requests_that_are_refused(pipe, ring, more, error, what, part):
    if more.get("beside") == "ring":
        more = {**more, "beside": ring}
    one = dataclasses.replace(asked(ring), **more)
    with pytest.raises(error) as raised:
        measured(one, pipe, LIMITS)
    assert raised.value.what == what
    assert part in str(raised.value)


def test_pictures_that_do_not_fit(pipe, tmp_path):
    for size, colour, part in (
        ((32, 32), True, "3 channels"),
        ((40, 32), False, "40 x 32"),
    ):
        with pytest.raises(BadImage, match=part):
            picture(asked(shown.digit(tmp_path / "x.png", size, colour)), pipe, LIMITS)
    (tmp_path / "x.png").write_bytes(b"no picture")
    with pytest.raises(BadImage, match="truncated or no image"):
        picture(asked(tmp_path / "x.png"), pipe, LIMITS)
    np.save(tmp_path / "x.npy", np.zeros((3, 32, 32), np.float32))
    with pytest.raises(InvalidInput, match="3 pictures"):
        picture(asked(tmp_path / "x.npy"), pipe, LIMITS)
    np.save(tmp_path / "x.npy", np.full((32, 32), 200.0, np.float32))
    with pytest.raises(InvalidInput, match=r"values in \[200, 200\]"):
        picture(asked(tmp_path / "x.npy"), pipe, LIMITS)
    with pytest.raises(DeftError, match="at most"):
        picture(asked(tmp_path / "x.npy"), pipe, Limits(megabytes=1e-3))
    np.save(tmp_path / "x.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(DeftError):
        picture(asked(tmp_path / "x.npy"), pipe, LIMITS)


def test_a_second_file_without_use(tmp_path):
    small = deft.load("h-digits-32-super-resolution")
    np.save(tmp_path / "y.npy", np.zeros((8, 8), np.float32))
    one = asked(tmp_path / "y.npy", GIVEN, beside=tmp_path / "y.npy")
    with pytest.raises(InvalidInput, match="second file"):
        measured(one, small, LIMITS)


def test_a_level_of_a_law_of_its_own(ring):
    phase = deft.load("h-digits-32-phase-retrieval")
    with pytest.raises(InvalidInput) as raised:
        measured(asked(ring, ways(phase)[0].label, sigma_y=0.1), phase, LIMITS)
    assert raised.value.what == "sigma_y"
    assert measured(asked(ring, ways(phase)[0].label), phase, LIMITS).observation is not None
