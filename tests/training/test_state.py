import torch
from torch import nn

from deft.training.state import Average


def test_average_by_hand():
    layer = nn.Linear(1, 1, bias=False)
    layer.weight.data.fill_(0.0)
    average = Average(layer, 0.5)
    expected = 0.0
    for step in range(1, 6):
        layer.weight.data.fill_(float(step))
        average.update(step)
        d = min(0.5, (1 + step) / (10 + step))
        expected = d * expected + (1 - d) * step
    torch.testing.assert_close(average.values["weight"].item(), expected)


def test_applied_gives_the_weights_back():
    layer = nn.Linear(2, 2)
    average = Average(layer, 0.9)
    average.values["weight"].fill_(3.0)
    own = layer.weight.detach().clone()
    try:
        with average.applied():
            assert (layer.weight == 3).all()
            raise RuntimeError
    except RuntimeError:
        pass
    assert torch.equal(layer.weight, own)
