from deft.samplers.heun import Heun
from tests.contracts.sampler import SamplerContract


class TestHeun(SamplerContract):
    order, steps = 2, 40

    def sampler(self, steps, grid=None):
        return Heun(steps, grid)


def test_evaluations():
    assert Heun(10).evaluations == 19
