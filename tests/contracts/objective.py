"""What every objective for a learned h-transform promises."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from deft.htransforms.base import HTransform, NoConditioning
from deft.noise import Noise
from deft.priors.base import Prior
from deft.training.base import Objective
from deft.training.batch import Batch


class ObjectiveContract(ABC):
    """A test class inherits this and gives an objective, with a prior and an h-transform that is
    exact for it.
    """

    draws = 4096

    @abstractmethod
    def objective(self) -> Objective: ...

    @abstractmethod
    def prior(self) -> Prior:
        """A prior of which signals can be drawn in closed form."""

    @abstractmethod
    def signals(self, n: int) -> Tensor:
        """Exact draws from the prior."""

    @abstractmethod
    def exact(self) -> HTransform:
        """The exact h-transform, as one with parameters."""

    @abstractmethod
    def spoil(self, h: HTransform) -> HTransform:
        """The same h-transform with wrong parameters."""

    def gradients(self, h: HTransform, batch_size: int = 64) -> Tensor:
        """The gradient of the loss on each of many batches: (batches, parameters)."""
        objective, prior, x_0 = self.objective(), self.prior(), self.signals(self.draws)
        rows = []
        for start in range(0, self.draws, batch_size):
            seeds = list(range(start, start + batch_size))
            loss = objective.loss(
                h, prior, Batch(x_0[start : start + batch_size], Noise(seeds, dtype=x_0.dtype))
            ).value.mean()
            found = torch.autograd.grad(loss, list(h.parameters()), allow_unused=True)
            rows.append(
                torch.cat(
                    [
                        torch.zeros_like(p).flatten() if g is None else g.flatten()
                        for g, p in zip(found, h.parameters())
                    ]
                )
            )
        return torch.stack(rows)

    def z_scores(self, h: HTransform) -> Tensor:
        """The mean gradient in units of its standard error, for the parameters that have one."""
        g = self.gradients(h)
        error = g.std(0) / len(g) ** 0.5
        return (g.mean(0) / error)[error > 0]

    def test_gradient_vanishes_at_the_exact_h(self):
        z = self.z_scores(self.exact())
        # Student's t with 63 degrees of freedom: rms 1.02 for independent entries; correlated ones
        # spread the rms, and 5.5 is beyond 1e-5 for 1,000 of them
        assert z.square().mean().sqrt() < 1.6
        assert z.abs().max() < 5.5

    def test_gradient_does_not_vanish_elsewhere(self):
        assert self.z_scores(self.spoil(self.exact())).abs().max() > 8

    def test_exact_h_has_the_lower_loss(self):
        objective, prior, x_0 = self.objective(), self.prior(), self.signals(1024)
        batch = Batch(x_0, Noise(range(len(x_0)), dtype=x_0.dtype))
        with torch.no_grad():
            exact, spoilt = (
                objective.loss(self.exact(), prior, batch),
                objective.loss(self.spoil(self.exact()), prior, batch),
            )
        assert exact.value.mean() < spoilt.value.mean()
        assert exact.value.mean() < exact.shown["without"].mean()

    def test_without_is_the_loss_without_h(self):
        objective, prior, x_0 = self.objective(), self.prior(), self.signals(16)
        loss = objective.loss(
            NoConditioning(), prior, Batch(x_0, Noise(range(16), dtype=x_0.dtype))
        )
        torch.testing.assert_close(loss.value, loss.shown["without"])

    def test_a_signal_depends_on_its_seed_alone(self):
        objective, prior, x_0 = self.objective(), self.prior(), self.signals(6)
        together = objective.loss(
            self.spoil(self.exact()), prior, Batch(x_0, Noise(range(6), dtype=x_0.dtype))
        )
        for i in (5, 2):
            alone = objective.loss(
                self.spoil(self.exact()), prior, Batch(x_0[i : i + 1], Noise([i], dtype=x_0.dtype))
            )
            torch.testing.assert_close(
                alone.value, together.value[i : i + 1], rtol=1e-4, atol=1e-6
            )  # other kernels at other batch sizes
            assert torch.equal(alone.shown["log_snr"], together.shown["log_snr"][i : i + 1])

    def test_prior_is_never_differentiated(self):
        prior, x_0 = self.prior(), self.signals(2)
        seen = []
        denoise = prior.denoise
        prior.denoise = lambda x_t, t: seen.append(torch.is_grad_enabled()) or denoise(x_t, t)
        self.objective().loss(
            self.exact(), prior, Batch(x_0, Noise(range(2), dtype=x_0.dtype))
        ).value.sum().backward()
        assert seen
        assert not any(seen)

    def test_card_is_json(self):
        import json

        assert "class" in json.loads(json.dumps(self.objective().card()))
