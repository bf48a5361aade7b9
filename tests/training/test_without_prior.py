"""A prior behind an API that goes away in mid-training: what was done is saved, and goes on."""

import pytest
import torch

from deft.errors import PriorUnavailable
from deft.priors.callable import CallablePrior
from deft.training.bank import Bank
from tests.training import small


class Service:
    """A function that answers `left` times, and then no more."""

    def __init__(self, left: int = 1 << 30) -> None:
        self.left = left

    def __call__(self, x_t, t):
        if self.left == 0:
            raise PriorUnavailable("nobody answers")
        self.left -= 1
        return small.prior().denoise(x_t, t)


def prior(service: Service) -> CallablePrior:
    known = small.prior()
    return CallablePrior(
        service, known.schedule, known.event_shape, known.scale, identity="service"
    )


def run(service: Service, out=None):
    h = small.h_transform()
    small.train(
        h,
        prior(service),
        small.objective(),
        small.images(),
        steps=8,
        batch_size=4,
        accumulate=2,
        validation=small.images(8, 1),
        validation_draws=8,
        validate_every=4,
        save_every=3,
        out=out,
        progress=False,
    )
    return torch.cat([value.flatten() for value in h.state_dict().values()])


@pytest.fixture(scope="module")
def uninterrupted():
    return run(Service())


@pytest.mark.parametrize(
    ("answers", "saved"),
    [
        (0, 0),
        (5, 2),  # in the second half of a step
        (6, 3),
        (9, 3),  # in the validation after step 4, which is made again
        (13, 5),
    ],
)
def test_it_is_saved_and_goes_on(uninterrupted, tmp_path, answers, saved):
    with pytest.raises(PriorUnavailable, match=f"nobody answers.*to step {saved}; the same call"):
        run(Service(answers), tmp_path)
    assert torch.equal(run(Service(), tmp_path), uninterrupted)


def test_without_a_folder_it_says_that_nothing_was_saved():
    with pytest.raises(PriorUnavailable, match="after 2 steps: nothing was saved"):
        run(Service(5))


def test_a_bank_goes_on(tmp_path):
    images = small.images()
    with pytest.raises(PriorUnavailable):
        Bank.build(prior(Service(2)), images, 12, batch_size=4, out=tmp_path / "a", progress=False)
    service = Service(1)
    found = Bank.build(prior(service), images, 12, batch_size=4, out=tmp_path / "a", progress=False)
    known = Bank.build(
        prior(Service()), images, 12, batch_size=4, out=tmp_path / "b", progress=False
    )
    assert service.left == 0
    assert found.fingerprint() == known.fingerprint()
