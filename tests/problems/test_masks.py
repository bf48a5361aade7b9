import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from deft.errors import BadImage, InvalidInput
from deft.noise import Noise
from deft.problems import (
    BoxMasks,
    CartesianMasks,
    FreeFormMasks,
    HalfMasks,
    Inpainting,
    MaskFiles,
    RandomPixelMasks,
    from_card,
)
from tests.refusal import refused

ALL = [
    BoxMasks(),
    BoxMasks(centred=False),
    RandomPixelMasks(0.3),
    FreeFormMasks(),
    HalfMasks(),
    HalfMasks("left"),
    CartesianMasks(),
]


@pytest.mark.parametrize(
    "masks", ALL, ids=lambda masks: f"{type(masks).__name__}{list(masks.init_args().values())}"
)
@pytest.mark.parametrize("event_shape", [(1, 16, 16), (3, 12, 19), (2, 30)])
class TestEveryDistribution:
    def test_shape_and_values(self, masks, event_shape):
        for batch in (0, 1, 3):
            mask = masks.draw(
                torch.empty(batch, *event_shape, dtype=torch.float64), Noise(range(batch))
            )
            assert mask.shape == (batch, 1, *event_shape[1:])
            assert mask.dtype == torch.float64
            assert ((mask == 0) | (mask == 1)).all()
            assert (mask.flatten(1).sum(1) > 0).all()
            assert (mask.flatten(1).min(1).values == 0).all()

    def test_a_mask_depends_on_its_seed_alone(self, masks, event_shape):
        together = masks.draw(torch.empty(5, *event_shape), Noise(range(5)))
        alone = masks.draw(torch.empty(2, *event_shape), Noise([3, 1]))
        assert torch.equal(alone, together[[3, 1]])

    def test_the_card_rebuilds_it(self, masks, event_shape):
        again = from_card(Inpainting(masks).card()).masks
        like, noise = torch.empty(2, *event_shape), Noise([7, 8])
        assert torch.equal(again.draw(like, noise), masks.draw(like, noise))


def test_a_centred_box_is_half_the_width():
    mask = BoxMasks().draw(torch.empty(1, 1, 8, 12), Noise([0]))[0, 0]
    expected = torch.ones(8, 12)
    expected[2:6, 3:9] = 0
    assert torch.equal(mask, expected)


def test_a_box_goes_everywhere():
    masks = BoxMasks(0.5, centred=False).draw(torch.empty(200, 1, 4, 4), Noise(range(200)))
    assert len({tuple(mask.flatten().tolist()) for mask in masks}) == 9
    assert (masks.sum((1, 2, 3)) == 12).all()


def test_random_pixels_are_counted():
    masks = RandomPixelMasks(0.1).draw(torch.empty(5, 3, 20, 20), Noise(range(5)))
    assert (masks.sum((1, 2, 3)) == 40).all()


def test_lines_of_frequencies():
    masks = CartesianMasks(4, centre=0.1).draw(torch.empty(200, 2, 6, 20), Noise(range(200)))
    assert torch.equal(masks, masks[:, :, :1].expand_as(masks))
    lines = masks[:, 0, 0]
    assert (lines.sum(1) == 5).all()
    assert (lines[:, 9:11] == 1).all()  # the frequency 0 stands at 10
    others = lines[:, [*range(9), *range(11, 20)]].mean(0)
    assert (others - 3 / 18).abs().max() < 0.11  # four standard errors
    assert CartesianMasks(1.0, centre=0.5).draw(torch.empty(1, 2, 4, 4), Noise([0])).all()
    refused(lambda: CartesianMasks(0.5), 0.5, "a finite number >= 1")
    refused(lambda: CartesianMasks(torch.inf), torch.inf, "a finite number >= 1")
    refused(lambda: CartesianMasks(4, centre=0.3), 0.3, "all measured lines, 0.25")


def test_every_half_is_drawn():
    masks = HalfMasks().draw(torch.empty(100, 1, 4, 4), Noise(range(100)))
    assert len({tuple(mask.flatten().tolist()) for mask in masks}) == 4
    top = HalfMasks("top").draw(torch.empty(1, 1, 5, 4), Noise([0]))[0, 0]
    assert torch.equal(top[:, 0], torch.tensor([0.0, 0, 1, 1, 1]))
    right = HalfMasks("right").draw(torch.empty(1, 1, 5), Noise([0]))[0, 0]
    assert torch.equal(right, torch.tensor([1.0, 1, 1, 0, 0]))


@given(
    space=st.one_of(
        st.tuples(st.integers(8, 40)), st.tuples(st.integers(5, 40), st.integers(5, 40))
    ),
    ends=st.tuples(st.floats(0.05, 0.8), st.floats(0, 0.1)),
    seed=st.integers(0, 2**40),
)
@settings(max_examples=40)
def test_strokes_cover_what_they_should(space, ends, seed):
    """Within the bounds, or the whole number nearest to them where no whole number lies between."""
    low, high = ends[0], ends[0] + ends[1]
    mask = FreeFormMasks(low, high).draw(torch.empty(1, 1, *space), Noise([seed]))
    missing, places = int((mask == 0).sum()), mask.numel()
    inside = low * places - 1e-6 <= missing <= high * places + 1e-6
    assert inside or missing == max(round(0.5 * (low + high) * places), 1)


def test_the_share_of_strokes_varies():
    shares = 1 - FreeFormMasks().draw(torch.empty(64, 1, 32, 32), Noise(range(64))).mean((1, 2, 3))
    assert ((shares >= 0.2) & (shares <= 0.3)).all()
    assert shares.std() > 0.015  # a uniform draw has 0.029


def test_strokes_are_strokes():
    """Most neighbours of a missing place are missing too, unlike random pixels (25 %)."""
    missing = 1 - FreeFormMasks().draw(torch.empty(8, 1, 64, 64), Noise(range(8)))
    both = (missing[..., 1:] * missing[..., :-1]).sum() / missing[..., 1:].sum()
    assert both > 0.75


def write(path, mask):
    Image.fromarray((255 * mask).astype(np.uint8)).save(path)


def test_masks_from_files(tmp_path):
    rng = np.random.default_rng(0)
    stored = [rng.integers(0, 2, (6, 8)) for _ in range(3)]
    for k, mask in enumerate(stored):
        write(tmp_path / f"{k}.png", mask)
    masks = MaskFiles(str(tmp_path))
    drawn = masks.draw(torch.empty(40, 3, 6, 8), Noise(range(40)))
    assert {tuple(mask.flatten().int().tolist()) for mask in drawn} == {
        tuple(mask.flatten().tolist()) for mask in stored
    }
    assert masks.draw(torch.empty(0, 3, 6, 8), Noise([])).shape == (0, 1, 6, 8)
    with pytest.raises(
        InvalidInput, match=r"0\.png has the size \(6, 8\) \(height, width\), the signal \(8, 8\)"
    ):
        masks.draw(torch.empty(1, 3, 8, 8), Noise([0]))


def test_mask_folders_that_do_not_work(tmp_path):
    with pytest.raises(BadImage, match="does not exist"):
        MaskFiles(str(tmp_path / "none"))
    with pytest.raises(BadImage, match="holds no masks"):
        MaskFiles(str(tmp_path))
    (tmp_path / "broken.png").write_bytes(b"\x89PNG nothing")
    with pytest.raises(BadImage, match=r"broken\.png is truncated or no image"):
        MaskFiles(str(tmp_path))


def test_errors():
    refused(lambda: BoxMasks(1.0), 1.0, "a number in (0, 1)")
    refused(lambda: RandomPixelMasks(0.0), 0.0, "a number in (0, 1]")
    refused(lambda: FreeFormMasks(0.3, 0.2), (0.3, 0.2), "0 < low <= high")
    refused(lambda: FreeFormMasks(0.3, 1.0), (0.3, 1.0), "0 < low <= high < 1")
    refused(lambda: FreeFormMasks(width=(0.1, 2.0)), (0.1, 2.0), "0 < low <= high <= 1")
    with pytest.raises(InvalidInput, match="did you mean right"):
        HalfMasks("rigth")
    with pytest.raises(InvalidInput, match="no top half; choose left or right"):
        HalfMasks("top").draw(torch.empty(1, 1, 8), Noise([0]))
