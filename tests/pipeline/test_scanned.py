"""k-space as a user of the pipeline holds it, as an observation."""

import numpy as np
import pytest
import torch

from deft.operators import MRI, MultiCoilMRI
from deft.pipeline.measured import observation_of
from deft.pipeline.read import Given
from deft.problems import MRI as SingleCoil
from deft.problems import Denoising, RowMasks
from deft.problems import MultiCoilMRI as Coils
from tests.pipeline.scans import LINES, SIZE, TRANSFORMS, image, k_space, maps, stored
from tests.pipeline.test_k_space import prior
from tests.refusal import refused


def observed(measurements, problem=None, **given):
    problem = problem or Coils(sigma_y=0.01)
    return observation_of(measurements, prior(), problem, Given(**given))


def residual(found):
    z = image()
    x = torch.from_numpy(np.stack([z.real, z.imag]))[None].expand(len(found), -1, -1, -1)
    return float(found.likelihood.operator(x).sub(found.y).abs().max())


def test_arrays_tensors_files_and_lists_are_the_same(tmp_path):
    k, s = k_space(), maps()
    np.save(tmp_path / "k.npy", k)
    np.save(tmp_path / "s.npy", s)
    found = observed(k, sensitivities=s)
    assert residual(found) < 1e-5
    assert found.sigma_y.tolist() == pytest.approx([0.01])
    for one, coils in (
        (torch.from_numpy(k), torch.from_numpy(s)),
        (tmp_path / "k.npy", str(tmp_path / "s.npy")),
        ([k], s[None]),
        (np.stack([k.real, k.imag]), np.stack([s.real, s.imag])),
    ):
        same = observed(one, sensitivities=coils)
        assert torch.equal(same.y, found.y)
        assert torch.equal(same.operator.sensitivities, found.operator.sensitivities)
    assert len(observed([k, k], sensitivities=np.stack([s, s]))) == 2


@pytest.mark.parametrize("fft", TRANSFORMS)
def test_every_convention_is_the_same_scan(fft):
    """Of one image, by masks that stand as k-space does, or by what is not 0."""
    lines = stored(LINES, fft)
    for k, mask in ((k_space(fft), None), (k_space(fft, lines=None), lines)):
        found = observed(k, sensitivities=maps(), fft=fft, mask=mask)
        assert residual(found) < 1e-5
        assert np.array_equal(found.operator.mask[0, 0, 0].numpy(), LINES)


def test_masks_of_every_kind(tmp_path):
    square = np.repeat(LINES[None], SIZE, axis=0)
    np.save(tmp_path / "lines.npy", LINES)
    k = k_space(lines=None)
    for mask in (LINES, square, tmp_path / "lines.npy", torch.from_numpy(LINES), [square]):
        found = observed(k, sensitivities=maps(), mask=mask)
        assert np.array_equal(found.operator.mask[0, 0].numpy(), square)
    other = observed(k, sensitivities=maps(), mask=~LINES, invert_mask=True)
    assert torch.equal(other.operator.mask, found.operator.mask)
    fixed = observed(k, Coils(masks=RowMasks(2), sigma_y=0.01), sensitivities=maps())
    assert fixed.operator.mask[0, 0, :, 0].tolist() == [1.0, 0.0] * (SIZE // 2)
    refused(
        lambda: observed(k, sensitivities=maps(), mask=LINES[1:]),
        "16 x 15 (height x width)",
        "16 x 16, or (width,)",
    )


def test_units_and_noise():
    """value_range divides k-space, and sigma_y is in its units."""
    k, a = k_space(noise=0.01), 3e-5
    found = observed(a * k, sensitivities=maps(), value_range=(-a, a), sigma_y=0.01 * a)
    torch.testing.assert_close(found.y, observed(k, sensitivities=maps()).y)
    assert found.sigma_y.tolist() == pytest.approx([0.01])
    entries = np.full((2, *k.shape), 0.01 * a)
    entries[:, 0] *= 4
    each = observed(a * k, sensitivities=maps(), value_range=(-a, a), sigma_y=entries)
    assert each.is_whitened
    torch.testing.assert_close(each.measured, found.y)
    refused(
        lambda: observed(k_space("plain"), sensitivities=maps(), fft="plain", sigma_y=entries),
        "plain",
        "centred, or nothing, beside sigma_y",
    )


def test_a_single_coil_and_operators_of_ones_own():
    k = TRANSFORMS["plain"](image())
    one = observed(k, SingleCoil(sigma_y=0.01), fft="plain")
    assert type(one.operator) is MRI
    assert residual(one) < 1e-5
    s = torch.from_numpy(maps())[None]
    own = MultiCoilMRI(torch.from_numpy(LINES).float().expand(1, 1, SIZE, SIZE), s)
    assert torch.equal(
        observed(k_space(), Denoising(sigma_y=0.01), operator=own).y,
        observed(k_space(), sensitivities=s).y,
    )
    refused(
        lambda: observed(k_space(), operator=own, sensitivities=s),
        "sensitivities beside operator",
        "one of the two",
    )
    refused(
        lambda: observed(k_space(coils=5), operator=own),
        "shape (2, 5, 16, 16)",
        "(2, 6, 16, 16), what the operator measures",
    )


@pytest.mark.parametrize(
    ("measurements", "said", "given", "expected"),
    [
        (k_space(), {}, "nothing", "the sensitivities of the 6 coils"),
        (k_space(), {"sensitivities": maps(), "fft": "odd"}, "odd", "centred, shifted, corner"),
        (k_space(), {"sensitivities": maps(), "angles": [1.0]}, "angles beside k-space", "nothing"),
        (k_space(), {"sensitivities": 3}, "int", "complex numbers"),
        ([], {"sensitivities": maps()}, "an empty list", "scans"),
    ],
)
def test_what_does_not_go_together(measurements, said, given, expected):
    refused(lambda: observed(measurements, **said), given, expected)


def test_other_problems_have_no_coils():
    y = np.zeros((2, SIZE, SIZE), np.float32)
    refused(
        lambda: observed(y, Denoising(sigma_y=0.1), sensitivities=maps()),
        "sensitivities, for k-space",
        "nothing: Denoising measures no frequencies",
    )
    refused(lambda: observed(y, Denoising(), fft="plain"), "fft, for k-space", "nothing")
