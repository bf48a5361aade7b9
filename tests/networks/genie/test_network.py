from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from deft.errors import InvalidInput
from deft.networks.genie import GenieNetwork, Sizes

GOLDEN = Path(__file__).parents[2] / "golden"
TINY = Sizes(
    most=32,
    single=24,
    pair=16,
    place=16,
    time=16,
    reach=8,
    pair_layers=2,
    multiplied=12,
    pair_factor=2,
    structure_layers=2,
    heads=3,
    head=8,
    query_points=2,
    value_points=4,
)


def tiny():
    network = GenieNetwork(TINY)
    weights = load_file(GOLDEN / "genie_tiny.safetensors")
    network.load_state_dict({k.removeprefix("model."): v for k, v in weights.items()})
    return network


@torch.no_grad()
def test_the_numbers_of_the_original():
    """Padding included: two chains of 32 and 20 residues, positions up to 16 angstrom."""
    known = load_file(GOLDEN / "genie_tiny.io.safetensors")
    eps_hat = tiny()(known["x_t"], known["timesteps"], known["mask"].bool())
    found = known["x_t"] - eps_hat
    torch.testing.assert_close(found, known["output_trans"], rtol=0, atol=1e-5)


def test_the_published_sizes_are_the_published_weights():
    lines = (GOLDEN / "genie_scope_128_keys.txt").read_text().split("\n")[:-1]
    known = dict(line.removeprefix("model.").split(" ") for line in lines)
    with torch.device("meta"):
        network = GenieNetwork(Sizes())
    found = {k: "x".join(map(str, v.shape)) for k, v in network.state_dict().items()}
    assert found == known
    assert len(found) == 325
    assert sum(p.numel() for p in network.parameters()) == 4_087_574


@torch.no_grad()
def test_blocks_run_the_same_layers_again():
    once, twice = tiny(), tiny()
    twice.sizes = Sizes(**{**vars(TINY), "blocks": 2})
    x, entry, mask = torch.randn(1, 32, 3), torch.tensor([100]), torch.ones(1, 32).bool()
    deeper = Sizes(**{**vars(TINY), "structure_layers": 4})
    unrolled = GenieNetwork(deeper)
    weights = dict(once.state_dict())
    for name, value in once.state_dict().items():
        for k in (0, 1):
            start = f"structure_net.net.{k}."
            if name.startswith(start):
                weights[name.replace(start, f"structure_net.net.{k + 2}.")] = value
    unrolled.load_state_dict(weights)
    torch.testing.assert_close(twice(x, entry, mask), unrolled(x, entry, mask))
    assert (twice(x, entry, mask) - once(x, entry, mask)).abs().max() > 0.01


@pytest.mark.parametrize(("name", "value"), [("heads", 0), ("most", 2), ("single", -1)])
def test_sizes_that_make_no_network(name, value):
    with pytest.raises(InvalidInput, match=name):
        Sizes(**{name: value})
