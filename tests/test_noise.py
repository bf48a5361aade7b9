import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deft.errors import InvalidInput
from deft.noise import Noise, as_seed, mix

seeds = st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=5)


@given(seeds=seeds, step=st.integers(0, 10_000))
@settings(max_examples=30)
def test_a_draw_depends_on_its_own_seed_alone(seeds, step):
    together = Noise(seeds).normal(step, (2, 3))
    for i, seed in enumerate(seeds):
        assert torch.equal(Noise([seed]).normal(step, (2, 3))[0], together[i])
    assert torch.equal(Noise(seeds[::-1]).normal(step, (2, 3)), together.flip(0))


def test_take_repeat_and_slices_follow_the_samples():
    noise = Noise([5, 6, 7])
    z = noise.normal(1, (4,))
    assert torch.equal(noise.take([2, 0]).normal(1, (4,)), z[[2, 0]])
    assert torch.equal(noise.take(torch.tensor([1])).normal(1, (4,)), z[[1]])
    assert torch.equal(noise.take(slice(1, 3)).normal(1, (4,)), z[1:])
    assert torch.equal(
        noise.repeat(2).normal(1, (4,))[2:4], noise.take([1]).repeat(2).normal(1, (4,))
    )
    assert torch.equal(
        noise.repeat(3).normal(1, (4,))[::3], noise.repeat(1).normal(1, (4,))
    )  # sample j does not depend on how many are drawn


def test_steps_streams_and_seeds_are_independent():
    noise = Noise(range(20_000))
    draws = torch.stack(
        [
            noise.normal(0, ()),
            noise.normal(1, ()),
            noise.stream(0).normal(0, ()),
            noise.stream(1).normal(0, ()),
        ]
    )
    correlation = torch.corrcoef(draws)
    assert (
        float((correlation - torch.eye(4)).abs().max()) < 0.03
    )  # four standard errors of 1 / sqrt(20000)
    torch.testing.assert_close(draws.std(1), torch.ones(4), rtol=0, atol=0.02)
    assert abs(float(noise.uniform(0).mean()) - 0.5) < 0.01


def test_precision_and_empty_batches():
    assert Noise([], dtype=torch.float64).normal(0, (2,)).shape == (0, 2)
    assert Noise([1]).to("cpu", torch.float64).normal(0, (2,)).dtype == torch.float64


def test_mix_is_a_hash():
    values = {mix(a, b) for a in range(50) for b in range(50)}
    assert len(values) == 2500
    assert all(0 <= value < 2**63 for value in values)


@pytest.mark.parametrize("seed", [7, np.int64(7), np.uint8(7), np.array(7), torch.tensor(7)])
def test_any_integer_is_a_seed(seed):
    assert as_seed(seed) == 7
    assert type(as_seed(seed)) is int
    assert Noise([seed]).seeds == [7]


@pytest.mark.parametrize(
    "seed",
    [True, 7.0, np.float64(7), np.bool_(True), torch.tensor(True), torch.tensor(7.0), "7", None],
)
def test_nothing_else_is(seed):
    with pytest.raises(InvalidInput, match="a seed is an integer; got "):
        as_seed(seed)
    with pytest.raises(InvalidInput, match="a seed is an integer; got "):
        Noise([seed])
