import json

import pytest
import torch

from deft.errors import InvalidInput
from deft.priors.callable import CallablePrior
from deft.priors.remote import wire
from deft.priors.remote.card import CARD, Limits, mark, schedule_of, served_card
from deft.schedules import EDM, VE, RectifiedFlow, VPCosine, VPLinear, VPTabulated
from tests.extending.latent import grey
from tests.serving.served import labelled, network, plain

SCHEDULES = [
    VPLinear(0.2, 15.0),
    VPCosine(-12, 13),
    VPTabulated.linear(100),
    VE(0.02, 50.0),
    EDM(rho=5.0),
    RectifiedFlow(0.01),
]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda one: type(one).__name__)
def test_a_schedule_goes_over_exactly(schedule):
    prior = CallablePrior(lambda x_t, t: x_t, schedule, (2, 3), 0.4)
    card = json.loads(json.dumps(served_card(prior, Limits.of(prior, 8))))
    CARD.check("the card", card)
    found, t = schedule_of(card), torch.linspace(0, 1, 33, dtype=torch.float64)
    assert type(found) is type(schedule)
    assert torch.equal(found.alpha(t), schedule.alpha(t))
    assert torch.equal(found.sigma(t), schedule.sigma(t))
    assert torch.equal(found.snap(t), schedule.snap(t))


def test_limits():
    prior = plain()
    assert Limits.of(prior, 8) == Limits(8, 8 * (4 * 16 + 8) + wire.HEADER)
    assert Limits.of(labelled(), 8).bytes > 8 << 20
    assert Limits.of(prior, 1 << 16, 0.5) == Limits(1 << 16, 500_000 + wire.HEADER)
    large = CallablePrior(lambda x_t, t: x_t, VPLinear(), (1 << 25,), 1.0)
    assert Limits.of(large, 8).bytes > 4 << 25
    with pytest.raises(InvalidInput, match="megabytes"):
        Limits.of(prior, 8, 1e-6)


def test_a_mark_is_that_of_one_prior():
    priors = [plain(), plain(0.25), network(), labelled()]
    marks = [mark(served_card(prior, Limits.of(prior, 8))) for prior in priors]
    assert len(set(marks)) == 4
    assert marks[0] == mark(served_card(plain(), Limits.of(plain(), 4)))


def test_a_codec_does_not_go_over():
    prior = grey()
    with pytest.raises(InvalidInput, match="without a codec"):
        served_card(prior, Limits.of(prior, 8))
