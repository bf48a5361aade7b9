import pytest
import torch

from deft.errors import InvalidInput
from deft.networks import UNet
from deft.networks.unet import _group_norm, _shuffle, _unshuffle

SHAPES = [(1, 8, 8), (3, 13, 9), (2, 5, 24), (1, 1, 1), (2, 7), (1, 16)]


def network(shape, *, patch=1, numbers=1, out=None, **options):
    """A small network, in double precision."""
    options = {"channels": (4, 6), "blocks": 1, "attention": (False, True), **options}
    return UNet(
        shape[0], out or shape[0], numbers=numbers, patch=patch, axes=len(shape) - 1, **options
    ).double()


def trained(module):
    """The same with weights that are nowhere zero."""
    for p in module.parameters():
        p.data += 0.2 * torch.randn_like(p)
    return module


@pytest.mark.parametrize("patch", [1, 2, 4])
@pytest.mark.parametrize("shape", SHAPES)
def test_any_shape_and_zero_at_the_start(shape, patch):
    x, c = torch.randn(2, *shape, dtype=torch.float64), torch.randn(2, 1, dtype=torch.float64)
    for options in ({"entry": 1}, {"entry": 3}, {"fine": 4}):
        made = network(shape, patch=patch, out=5, **options)
        assert torch.equal(made(x, c), torch.zeros(2, 5, *shape[1:], dtype=torch.float64))
        out = trained(made)(x, c)
        assert out.shape == (2, 5, *shape[1:])
        assert bool(out.isfinite().all())
        assert bool((out != 0).all())


@pytest.mark.parametrize("shape", [(3, 13, 9), (2, 7)])
def test_a_batch_is_its_signals_one_by_one(shape):
    made = trained(network(shape, patch=2, numbers=2, fine=4))
    x, c = torch.randn(3, *shape, dtype=torch.float64), torch.randn(3, 2, dtype=torch.float64)
    together = made(x, c)
    for i in range(3):
        torch.testing.assert_close(
            made(x[i : i + 1], c[i : i + 1])[0], together[i], rtol=0, atol=1e-10
        )


@pytest.mark.parametrize("shape", [(3, 13, 9), (2, 7)])
def test_no_signals(shape):
    assert network(shape, patch=2)(
        torch.zeros(0, *shape).double(), torch.zeros(0, 1).double()
    ).shape == (0, *shape)


def test_it_reads_its_numbers():
    made = trained(network((1, 8, 8), numbers=2))
    x = torch.randn(1, 1, 8, 8, dtype=torch.float64)
    c = torch.tensor([[1.0, -2.0]], dtype=torch.float64)
    for other in ([[1.5, -2.0]], [[1.0, -2.5]]):
        assert not torch.allclose(made(x, c), made(x, torch.tensor(other, dtype=torch.float64)))


def test_every_place_sees_every_other_through_attention():
    made = trained(network((1, 16, 16), channels=(4, 4), attention=(False, True)))
    x = torch.randn(1, 1, 16, 16, dtype=torch.float64, requires_grad=True)
    seen = torch.autograd.grad(made(x, torch.zeros(1, 1).double())[0, 0, 0, 0], x)[0]
    assert bool((seen != 0).all())


def test_every_parameter_is_used():
    made = trained(
        network(
            (2, 6, 10), patch=2, channels=(4, 6, 8), blocks=2, attention=(False, True, True), fine=4
        )
    )
    made(torch.randn(2, 2, 6, 10).double(), torch.randn(2, 1).double()).square().sum().backward()
    for name, p in made.named_parameters():
        assert p.grad is not None, name


def test_the_fine_stage_sees_across_the_seams_of_patches():
    """Without it, what lies in a place of a patch comes from the patch's features alone; with
    it, the place's neighbours in the input count by themselves.
    """
    x, c = torch.randn(1, 1, 8, 8).double(), torch.zeros(1, 1).double()
    coarse = network((1, 8, 8), patch=4, fine=4)
    for p in coarse.fine.parameters():
        p.data += 0.2 * torch.randn_like(p)
    x.requires_grad_(True)
    seen = torch.autograd.grad(coarse(x, c)[0, 0, 3, 3], x)[0][
        0, 0
    ]  # the U-Net itself still says nothing
    assert bool((seen[2:6, 2:6] != 0).all())


def test_padding_repeats_the_border():
    """A signal that is padded by hand gives the same, cut back: sizes that fit are nothing
    special.
    """
    made = trained(network((1, 6, 7), patch=2))
    x, c = torch.randn(1, 1, 6, 7).double(), torch.zeros(1, 1).double()
    padded = torch.nn.functional.pad(x, (0, 1, 0, 2), mode="replicate")
    torch.testing.assert_close(made(padded, c)[..., :6, :7], made(x, c))


@pytest.mark.parametrize("patch", [1, 2, 4])
@pytest.mark.parametrize("space", [(8,), (8, 12)])
def test_shuffling_undoes_unshuffling(space, patch):
    x = torch.randn(2, 3, *space)
    packed = _unshuffle(x, patch)
    assert packed.shape == (2, 3 * patch ** len(space), *(n // patch for n in space))
    assert torch.equal(_shuffle(packed, patch, len(space)), x)


def test_unshuffling_is_that_of_torch():
    x = torch.randn(2, 3, 8, 12)
    assert torch.equal(_unshuffle(x, 2), torch.nn.functional.pixel_unshuffle(x, 2))
    assert torch.equal(
        _shuffle(x[:, :1].expand(2, 4, 8, 12), 2, 2),
        torch.nn.functional.pixel_shuffle(x[:, :1].expand(2, 4, 8, 12), 2),
    )


@pytest.mark.parametrize("size", [4, 5, 6, 10, 38, 64, 256])
def test_groups_divide_any_width(size):
    norm = _group_norm(size)
    assert norm.num_groups <= 32
    assert size // norm.num_groups >= 4


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"channels": ()}, "channels"),
        ({"channels": (8, -8), "attention": (False, False)}, "channels"),
        ({"channels": (8, 0), "attention": (False, False)}, "channels"),
        ({"attention": (False,)}, "attention"),
        ({"blocks": -1}, "blocks"),
        ({"patch": 0}, "patch"),
        ({"fine": -4}, "fine"),
        ({"axes": 3}, "axes"),
        ({"numbers": 0}, "numbers"),
        ({"entry": 0}, "entry"),
        ({"in_channels": 0}, "in_channels"),
        ({"out_channels": 10**9}, "out_channels"),
    ],
)
def test_numbers_that_make_no_network(settings, what):
    with pytest.raises(InvalidInput) as raised:
        UNet(**{"in_channels": 1, "out_channels": 1, "channels": (8, 8, 8)} | settings)
    assert raised.value.what == what
    assert raised.value.given is not None
    assert raised.value.expected
