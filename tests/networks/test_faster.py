"""Networks that say the same, faster: their layout, and a compiler that may fail."""

import copy

import pytest
import torch
from torch import nn

from deft.networks import UNet
from deft.networks.faster import Compiled, channels_last, compiled, networks_of
from tests.training import small


class Fails:
    """A compiler that fails when it is first called."""

    def __init__(self, error: Exception) -> None:
        self.error, self.calls = error, 0

    def __call__(self, function):
        def run(*_, **__):
            self.calls += 1
            raise self.error

        return run


def asked(network: nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return network(torch.linspace(-1, 1, 128).reshape(1, 2, 8, 8), torch.zeros(1, 1))


def owner() -> nn.Module:
    torch.manual_seed(0)
    made = nn.Module()
    made.network = UNet(2, 1, channels=(4, 4), blocks=1, attention=(False, True))
    for p in made.network.parameters():
        nn.init.normal_(p, std=0.1)
    return made


def test_the_networks_of_priors_and_h_transforms_are_found():
    assert [type(n).__name__ for n in networks_of(small.prior())] == ["UNet"]
    assert [type(n).__name__ for n in networks_of(small.h_transform())] == ["UNet", "MLP"]


def test_channels_last_changes_the_layout_and_nothing_else():
    made = owner()
    before, weights = asked(made.network), copy.deepcopy(made.state_dict())
    channels_last(made)
    convolution = made.network.enter.weight
    assert convolution.is_contiguous(memory_format=torch.channels_last)
    assert all(torch.equal(value, weights[name]) for name, value in made.state_dict().items())
    # rounding alone: single precision over a few hundred terms
    torch.testing.assert_close(asked(made.network), before, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("error", [RuntimeError("No working C++ compiler\nmore"), ImportError("")])
def test_a_compiler_that_fails_is_said_once_and_left(monkeypatch, error):
    made, fails, said = owner(), Fails(error), []
    before = asked(made.network)
    monkeypatch.setattr(torch, "compile", fails)
    compiled(made, said.append)
    assert torch.equal(asked(made.network), before)
    assert torch.equal(asked(made.network), before)
    assert fails.calls == len(said) == 1
    assert "UNet runs without torch.compile, which failed" in said[0]
    assert "\n" not in said[0]


def test_what_is_compiled_is_used_but_where_gradients_are_followed(monkeypatch):
    made, said = owner(), []
    monkeypatch.setattr(torch, "compile", lambda function: lambda *_: torch.ones(1))
    compiled(made, said.append)
    compiled(made, said.append)  # once is enough
    assert torch.equal(asked(made.network), torch.ones(1))
    assert made.network(torch.zeros(1, 2, 8, 8), torch.zeros(1, 1)).shape == (1, 1, 8, 8)
    assert len(said) == 1


def test_a_fault_of_the_network_is_no_fault_of_the_compiler(monkeypatch):
    made, said = owner(), []
    monkeypatch.setattr(torch, "compile", lambda function: function)
    compiled(made, said.append)
    with pytest.raises(RuntimeError), torch.no_grad():
        made.network(torch.zeros(1, 3, 8, 8), torch.zeros(1, 1))
    assert said == []


def test_a_copy_has_the_copied_network_inside(monkeypatch):
    made = owner()
    monkeypatch.setattr(torch, "compile", lambda function: function)
    compiled(made, lambda _: None)
    other = copy.deepcopy(made)
    nn.init.zeros_(made.network.leave[-1].weight)
    nn.init.zeros_(made.network.leave[-1].bias)
    assert isinstance(other.network.forward, Compiled)
    assert asked(made.network).abs().max() == 0
    assert asked(other.network).abs().max() > 0
