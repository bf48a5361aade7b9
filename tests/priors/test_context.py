import pytest
import torch

from deft.errors import InvalidInput
from deft.htransforms.base import NoConditioning
from deft.likelihoods import GaussianLikelihood, Observation
from deft.operators.identity import Identity
from deft.posterior import Posterior
from deft.priors.callable import CallablePrior
from deft.priors.context import Context
from deft.priors.rescheduled import Rescheduled
from deft.samplers.ddim import DDIM
from deft.schedules import EDM, VPCosine
from deft.studies.counted import Counted

TIME = torch.tensor([0.5])


def denoiser(x_t, t, centre, mask):
    """A prior of points: a centre, seen where a mask is 1."""
    assert len(centre) == len(mask) == len(x_t) == len(t)
    return mask * centre[:, None].expand_as(x_t)


def prior(**options):
    return CallablePrior(denoiser, VPCosine(), (3,), 1.0, context=("centre", "mask"), **options)


CENTRES, MASK = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([[1.0, 1.0, 0.0]])


def test_values_follow_take_and_what_is_for_all_stays():
    context = Context({"centre": CENTRES, "mask": MASK})
    assert len(context) == 3
    taken = context.take([2, 0, 0])
    assert taken.values["centre"].tolist() == [3.0, 1.0, 1.0]
    assert taken.values["mask"] is MASK
    assert len(context.take(torch.tensor([True, False, True]))) == 2
    assert len(Context()) == len(Context({"mask": MASK})) == 1
    assert Context({"mask": MASK}).take([0, 0]).values["mask"] is MASK


def test_numbers_that_differ_are_refused():
    for values in ({"a": torch.zeros(2), "b": torch.zeros(3)}, {"a": torch.zeros(())}):
        with pytest.raises(InvalidInput):
            Context(values)
    with pytest.raises(InvalidInput) as caught:
        Context({"a": torch.zeros(2)}).for_signals(3, torch.device("cpu"), "mine")
    assert (caught.value.what, caught.value.given) == ("mine: a", "2 for 3 signals")


def wrapped(prior):
    observation = Observation(torch.zeros(3, 3), GaussianLikelihood(Identity(), 0.5))
    return {
        "alone": prior,
        "rescheduled": Rescheduled(prior, EDM(sigma_min=0.05, sigma_max=50.0)),
        "counted": Counted(prior),
        "posterior": Posterior(prior, NoConditioning(), observation),
    }


@pytest.mark.parametrize("kind", ["alone", "rescheduled", "counted", "posterior"])
def test_every_prior_around_one_passes_it_on(kind):
    given = wrapped(prior().given(centre=CENTRES, mask=MASK))[kind]
    assert given.num_observations == 3
    x_0 = given.denoise(torch.zeros(3, 3), TIME)
    assert x_0.tolist() == [[1, 1, 0], [2, 2, 0], [3, 3, 0]]
    assert given.take([1]).denoise(torch.zeros(1, 3), TIME).tolist() == [[2, 2, 0]]


def test_samples_of_each_signal_are_told_its_own():
    posterior = wrapped(prior().given(centre=CENTRES, mask=MASK))["posterior"]
    x_0 = DDIM(3)(posterior, 4, seed=1, batch_size=5)
    assert x_0[:, :, 0].tolist() == [[1] * 4, [2] * 4, [3] * 4]


def test_given_leaves_the_prior_as_it_was_and_adds():
    bare = prior()
    some = bare.given(mask=MASK)
    both = some.given(centre=CENTRES)
    assert (len(bare.context.values), len(some.context.values), len(both.context.values)) == (
        0,
        1,
        2,
    )
    assert both.given(centre=CENTRES[:1]).num_observations == 1
    assert bare.identity() == both.identity()


def test_what_it_does_not_take_is_refused():
    with pytest.raises(InvalidInput) as caught:
        prior().given(labels=torch.zeros(1))
    assert caught.value.what == "labels"
    assert "`centre` and `mask`" in caught.value.expected
    plain = CallablePrior(lambda x_t, t: x_t, VPCosine(), (3,), 1.0)
    with pytest.raises(InvalidInput, match="unconditional, and takes no context"):
        plain.given(labels=torch.zeros(1))
    for names in (("not a name",), (3,)):
        with pytest.raises((InvalidInput, TypeError, Exception)):
            CallablePrior(lambda x_t, t: x_t, VPCosine(), (3,), 1.0, context=names)


def test_another_number_of_signals_is_refused():
    with pytest.raises(InvalidInput) as caught:
        prior().given(centre=CENTRES, mask=MASK).denoise(torch.zeros(2, 3), TIME)
    assert caught.value.given == "3 for 2 signals"
