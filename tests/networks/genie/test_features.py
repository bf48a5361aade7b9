import math

import torch

from deft.networks.genie.features import PairFeatures, SingleFeatures, waves
from deft.networks.genie.sizes import Sizes

SMALL = Sizes(most=7, single=6, pair=5, place=8, time=4, reach=2)


def test_waves_by_their_formula():
    found = waves(torch.tensor([0, 3, 11]), 20, 6)
    for row, v in zip(found, (0, 3, 11)):
        for d, value in enumerate(row.tolist()):
            power = 20 ** (2 * (d + d % 2) / 6)
            angle = math.pi * v / power
            assert math.isclose(value, math.sin(angle) if d % 2 else math.cos(angle), abs_tol=1e-5)


def test_a_residue_has_other_waves_where_chains_are_padded_to_another_length():
    net, entry = SingleFeatures(SMALL), torch.tensor([4])
    short, long = (net(entry, torch.ones(1, n, dtype=torch.bool))[0, :5] for n in (7, 9))
    assert (short - long).abs().max() > 1e-2


def test_padding_is_told_nothing():
    net = SingleFeatures(SMALL)
    s = net(torch.tensor([4, 900]), torch.arange(7) < torch.tensor([[7], [3]]))
    torch.testing.assert_close(s[1, 3:], net.linear.bias.expand(4, -1))


class TestPairs:
    def found(self, s, x, pairs=None):
        torch.manual_seed(0)
        net = PairFeatures(SMALL)
        every = torch.ones(1, 7, 7, dtype=torch.bool)
        return net, net(s, x, every if pairs is None else pairs)

    def test_one_pair_by_its_formula(self):
        s, x = torch.randn(1, 7, 6), 4 * torch.randn(1, 7, 3)
        net, p = self.found(s, x)
        for i, j, column in ((5, 4, 3), (0, 6, 0), (6, 0, 4)):  # i - j, at most 2 either way
            expected = (
                net.linear_s_p_i(s[0, i])
                + net.linear_s_p_j(s[0, j])
                + net.linear_relpos.weight[:, column]
                + net.linear_relpos.bias
                + net.linear_template((x[0, i] - x[0, j]).norm()[None])
            )
            torch.testing.assert_close(p[0, i, j], expected)

    def test_pairs_that_do_not_exist_are_zero(self):
        mask = torch.arange(7) < 4
        pairs = (mask[:, None] & mask)[None]
        _, p = self.found(torch.randn(1, 7, 6), torch.randn(1, 7, 3), pairs)
        assert (p[~pairs] == 0).all()
        assert (p[pairs] != 0).any(-1).all()
