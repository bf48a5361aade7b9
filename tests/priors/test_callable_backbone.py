import pytest
import torch
from torch import nn

import deft
from deft.errors import InvalidInput
from deft.noise import Noise
from deft.priors.callable_backbone import CallableBackbone
from deft.priors.identity import is_nameless, same_identity
from deft.samplers.ddim import DDIM
from deft.schedules import RectifiedFlow, Schedule, VPCosine, VPTabulated
from tests.contracts.prior import PriorContract
from tests.priors.test_backbone import White

S = 3.0


class White3(nn.Module):
    """What a network of white centred chains predicts, from what it is told alone."""

    def __init__(self, schedule: Schedule, told: str, prediction: str):
        super().__init__()
        self.schedule, self.told, self.prediction = schedule, told, prediction
        self.s = nn.Parameter(torch.tensor(S, dtype=torch.float64))
        self.seen: list[torch.Tensor] = []

    def forward(self, x_t, level, mask):
        assert mask.shape == x_t.shape[:2]
        assert level.shape == (len(x_t),)
        self.seen.append(level)
        if self.told == "index":
            t = level.double() / (self.schedule.num_steps - 1)
        elif self.told == "log_snr":
            t = self.schedule.time(level.double())
        else:
            t = level.double()
        alpha, sigma = self.schedule.alpha(t)[:, None, None], self.schedule.sigma(t)[:, None, None]
        x_0_hat = alpha * self.s**2 / (alpha**2 * self.s**2 + sigma**2) * x_t
        eps = (x_t - alpha * x_0_hat) / sigma
        f = {"epsilon": eps, "x_0": x_0_hat, "velocity": eps - x_0_hat}[self.prediction]
        return f + 5.0 * (~mask)[..., None]  # what stands at padding is not looked at


CASES = [
    ("index", "epsilon", VPTabulated.linear()),
    ("time", "velocity", RectifiedFlow()),
    ("log_snr", "x_0", VPCosine()),
]


def wrapped(told="log_snr", prediction="epsilon", schedule=None, **settings):
    schedule = schedule or VPCosine()
    network = White3(schedule, told, prediction)
    given = {"scale": S, "prediction": prediction, "told": told, **settings}
    return CallableBackbone(network, schedule, 12, **given)


class TestEpsilon(PriorContract):
    def prior(self):
        return wrapped(*CASES[0])


class TestVelocity(PriorContract):
    def prior(self):
        return wrapped(*CASES[1]).of_length(7)


class TestPadded(PriorContract):
    def prior(self):
        return wrapped(*CASES[2], centred=False, padded=True, differentiable=False).of_length(7)


@pytest.mark.parametrize(("told", "prediction", "schedule"), CASES)
def test_every_prediction_and_level_is_the_same_prior(told, prediction, schedule):
    found, known = wrapped(told, prediction, schedule).of_length(5, 9), White().of_length(5, 9)
    known.schedule = schedule
    x_t = torch.randn(2, 9, 3, dtype=torch.float64)
    t = schedule.snap(torch.tensor([0.3, 0.7], dtype=torch.float64))
    torch.testing.assert_close(found.denoise(x_t, t), known.denoise(x_t, t))
    level = found.network.seen[-1]
    assert level.is_floating_point() == (told != "index")


def test_a_function_of_t_says_what_it_is_told():
    seen = []

    def network(x_t, level, mask):
        seen.append(level)
        return 0 * x_t

    prior = CallableBackbone(network, VPCosine(), 6, scale=S, told=lambda t: 1000 * t)
    prior.denoise(torch.zeros(2, 6, 3), torch.tensor([0.25, 0.5]))
    assert seen[0].tolist() == [250.0, 500.0]
    assert seen[0].dtype == torch.float32


@pytest.mark.parametrize("centred", [True, False])
def test_the_same_design_in_any_batch(centred):
    prior, sampler = wrapped(centred=centred), DDIM(steps=5, eta=1.0)
    together = sampler(prior.of_length(6, 11), seed=[11, 12])
    alone = sampler(prior.of_length(6), seed=[11])
    torch.testing.assert_close(together[0, 0, :6], alone[0, 0])
    assert (together[0, 0, 6:] == 0).all()


def test_centred_or_not():
    noise = Noise([1], dtype=torch.float64)
    assert wrapped().noise(noise, 0).mean(1).abs().max() < 1e-12
    assert wrapped(centred=False).noise(noise, 0).mean(1).abs().max() > 0.05


def test_padding_where_the_network_needs_it():
    assert wrapped().of_length(5).event_shape == (5, 3)
    assert wrapped(padded=True).of_length(5).event_shape == (12, 3)
    with pytest.raises(InvalidInput, match="4 to 12 residues"):
        wrapped(min_length=4).of_length(3)


class TestIdentity:
    def named(self, **settings):
        return CallableBackbone(lambda x, t, m: x, VPCosine(), 6, scale=S, **settings).identity()

    def test_a_function_has_that_of_its_text(self):
        assert is_nameless(self.named())
        first, second = self.named(identity="mine, 1"), self.named(identity="mine, 2")
        assert not is_nameless(first)
        assert first == self.named(identity="mine, 1")
        assert same_identity(first, second)

    def test_a_module_has_that_of_its_weights_and_of_what_it_is_told(self):
        first, second = wrapped().identity(), wrapped().identity()
        assert first == second
        assert same_identity(first, wrapped("time").identity())
        other = wrapped()
        other.network.s.data += 1.0
        assert same_identity(first, other.identity())


def test_a_network_in_half_precision():
    layer = nn.Linear(3, 3).bfloat16()

    class Half(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = layer

        def forward(self, x_t, level, mask):
            assert (x_t.dtype, level.dtype) == (torch.bfloat16, torch.float32)
            return self.layer(x_t)

    prior = CallableBackbone(Half(), VPCosine(), 6, scale=S)
    assert prior.denoise(torch.randn(1, 6, 3), torch.tensor([0.4])).dtype == torch.float32


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"told": "entry"}, "told"),
        ({"told": "index"}, "only a VPTabulated schedule has a table"),
        ({"prediction": "noise"}, "prediction"),
        ({"scale": 0.0}, "scale"),
        ({"min_length": 0}, "min_length"),
    ],
)
def test_settings_that_are_refused(settings, match):
    with pytest.raises(InvalidInput, match=match):
        CallableBackbone(lambda x, t, m: x, VPCosine(), 6, **{"scale": S, **settings})


@pytest.mark.parametrize(
    ("returned", "given"),
    [
        (None, "a NoneType"),
        (torch.zeros(1, 6, 4), "a float32 tensor (1, 6, 4)"),
        (torch.full((1, 6, 3), float("nan")), "NaN or infinite numbers"),
    ],
)
def test_what_it_returns_is_checked(returned, given):
    prior = deft.CallableBackbone(lambda x, t, m: returned, VPCosine(), 6, scale=S)
    with pytest.raises(InvalidInput) as caught:
        prior.denoise(torch.zeros(1, 6, 3), torch.tensor([0.5]))
    assert caught.value.given == given
