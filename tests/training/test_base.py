import pytest
import torch
from torch.utils.data import Dataset, TensorDataset

from deft.errors import InvalidInput
from deft.noise import Noise
from deft.training.batch import Batch
from deft.training.sources import Images, Order, Source
from tests.training import small


def test_order_permutes_every_epoch():
    order = Order(7, seed=3)
    epochs = [[order[k] for k in range(e * 7, e * 7 + 7)] for e in range(3)]
    assert all(sorted(epoch) == list(range(7)) for epoch in epochs)
    assert epochs[0] != epochs[1]
    assert [order[k] for k in range(5, 9)] == epochs[0][5:] + epochs[1][
        :2
    ]  # in any order of asking


@pytest.mark.parametrize(("items", "batch"), [(200, 4), (203, 6), (5, 8)])
def test_batches_by_size_are_a_permutation_too(items, batch):
    sizes = [(7 * i) % 60 for i in range(items)]
    order, plain = Order(items, 3, sizes, batch), Order(items, 3)
    epochs = [[order[k] for k in range(e * items, (e + 1) * items)] for e in range(3)]
    assert all(sorted(epoch) == list(range(items)) for epoch in epochs)
    drawn = [item for epoch in epochs for item in epoch]

    def spread(found):
        """The mean over whole batches of one epoch of the range of sizes."""
        starts = [k for k in range(0, 3 * items, batch) if (k % items) + batch <= items]
        parts = [[sizes[i] for i in found[k : k + batch]] for k in starts]
        return sum(max(part) - min(part) for part in parts) / max(len(parts), 1)

    usual = spread([plain[k] for k in range(3 * items)])
    assert spread(drawn) < 0.2 * usual or items < batch
    again = Order(items, 3, sizes, batch)
    assert [again[k] for k in (items + 1, 2, 2 * items)] == [
        drawn[k] for k in (items + 1, 2, 2 * items)
    ]


def test_every_item_is_as_likely_as_any_other_in_every_batch_by_size():
    """The first and the third batch of an epoch over 3,000 seeds: chi-square of 11 freedoms, mean
    11, standard deviation 4.7; for items that were sorted it would be 9,000.
    """
    sizes = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8]
    counts = torch.zeros(2, 12)
    for seed in range(3000):
        order = Order(12, seed, sizes, 3)
        for row, first in enumerate((0, 6)):
            for k in range(first, first + 3):
                counts[row, order[k]] += 1
    chi_square = ((counts - 750).square() / 750).sum(1)
    assert (chi_square < 30).all()


class TestImages:
    def test_tensor_dataset_and_tuples(self):
        x = small.images(5)
        a = Images(x, small.prior()).batch([3, 1], Noise([0, 1]))
        b = Images(TensorDataset(x, torch.arange(5)), small.prior()).batch([3, 1], Noise([0, 1]))
        assert torch.equal(a.x_0, x[[3, 1]])
        assert torch.equal(a.x_0, b.x_0)
        assert a.noise.seeds == b.noise.seeds

    def test_flips_depend_on_the_seed_alone(self):
        x = small.images(1).expand(64, -1, -1, -1)
        source = Images(x, small.prior(), flip=True)
        seen = source.batch(range(64), Noise(range(64))).x_0
        flipped = (seen == x.flip(-1)).flatten(1).all(1)
        assert 16 < flipped.sum() < 48
        assert torch.equal(source.batch([0], Noise([9])).x_0, seen[9:10])

    @pytest.mark.parametrize(
        ("images", "says"),
        [
            (torch.zeros(0, 1, 8, 8), "empty data set"),
            (torch.zeros(3, 3, 8, 8), r"shape \(3, 8, 8\) and ramps-0 takes \(1, 8, 8\)"),
            (torch.zeros(3, 1, 9, 8), r"shape \(1, 9, 8\)"),
            (
                torch.zeros(3, 1, 8, 8, dtype=torch.uint8),
                r"got torch.uint8; deft\.data\.Arrays converts",
            ),
            (
                torch.full((3, 1, 8, 8), 200.0),
                r"values in \[200, 200\] and ramps-0 takes \[-1, 1\]",
            ),
            (torch.rand(3, 1, 8, 8), r"no value of 3 images is negative .* convert them"),
            (torch.full((3, 1, 8, 8), float("nan")), "NaN or infinite"),
        ],
    )
    def test_errors(self, images, says):
        with pytest.raises(InvalidInput, match=says):
            Images(images, small.prior())

    def test_every_item_of_a_dataset_is_checked(self):
        x = small.images(4)
        x[2] = 7.0
        source = Images(TensorDataset(x), small.prior())
        with pytest.raises(InvalidInput, match=r"values in \[7, 7\]"):
            source.batch([2], Noise([0]))


class TestFingerprint:
    def test_tells_images_apart(self):
        prior = small.prior()
        found = [Images(small.images(40, seed), prior).card()["fingerprint"] for seed in (0, 0, 1)]
        assert found[0] == found[1] != found[2]

    def test_depends_on_the_images_alone(self):
        x, prior = small.images(5), small.prior()
        same = [x.clone(), x.double(), TensorDataset(x), TensorDataset(x, torch.arange(5))]
        assert {Images(images, prior).fingerprint() for images in same} == {
            Images(x, prior).fingerprint()
        }
        assert Images(x[:1], prior).fingerprint() != Images(x[1:2], prior).fingerprint()

    def test_reads_a_handful(self):
        read = []

        class Watched(Dataset):
            def __len__(self):
                return 1000

            def __getitem__(self, i):
                read.append(i)
                return small.images()[i % 24]

        Images(Watched(), small.prior()).card()
        assert len(set(read)) == 16
        assert {0, 999} < set(read)

    def test_images_that_are_never_the_same_have_none(self):
        class Random(Dataset):
            def __len__(self):
                return 8

            def __getitem__(self, i):
                return small.images(seed=int(torch.randint(1 << 30, ())))[i]

        assert Images(Random(), small.prior()).card()["fingerprint"] is None

    def test_of_a_users_source(self):
        class Ramps(Source):
            def __init__(self, seed):
                self.seed = seed

            def __len__(self):
                return 6

            def batch(self, index, noise):
                return Batch(small.images(6, self.seed)[list(index)], noise)

        assert Ramps(0).card() == Ramps(0).card() != Ramps(1).card()
