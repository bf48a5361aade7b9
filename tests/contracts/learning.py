"""What every learned h-transform is asked: where its gradients go, and whether it learns."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch

from deft.htransforms.base import HTransform, NoConditioning
from deft.noise import Noise
from deft.posterior import Posterior
from deft.priors.base import Prior
from deft.priors.unet import UNetPrior
from deft.schedules import VPLinear
from deft.training import checkpoint
from deft.training.batch import Batch
from deft.training.loop import train
from tests.training import small


class LearningContract(ABC):
    """A test class says `made(prior)`: an untrained h-transform of a few thousand parameters,
    for a prior of images.
    """

    steps = 80  # of a training that must lower the loss by a tenth

    @abstractmethod
    def made(self, prior: Prior) -> HTransform: ...

    def trained(self, prior: Prior) -> HTransform:
        """The same with weights that are nowhere zero."""
        made = self.made(prior)
        with torch.no_grad():
            for p in made.parameters():
                p.add_(0.2 * torch.randn_like(p))
        return made

    def learning_prior(self) -> UNetPrior:
        """A prior that somebody forgot to freeze."""
        prior = UNetPrior(
            (2, 6, 10), VPLinear(), channels=(4, 4), blocks=1, attention=(False, False)
        )
        prior.gaussian.variance.fill_(0.3)
        return prior

    def batch(self, prior: Prior, n: int) -> Batch:
        noise = Noise(range(n), dtype=prior.dtype)
        return Batch(prior.scale * noise.normal(20, prior.event_shape), noise)

    def test_it_learns_and_the_prior_does_not(self):
        prior = self.learning_prior()
        h, objective = self.trained(prior), small.objective()
        objective.loss(h, prior, self.batch(prior, 4)).value.sum().backward()
        for name, p in h.named_parameters():
            assert p.grad is not None, name
            assert bool(p.grad.isfinite().all()), name
        assert sum(bool(p.grad.any()) for p in h.parameters()) > 0.9 * len(list(h.parameters()))
        assert all(p.grad is None for p in prior.parameters())

    def test_no_graph_of_the_prior_is_kept(self):
        prior = self.learning_prior()
        h, batch = self.trained(prior), self.batch(prior, 2)
        observation = small.objective().problem.draw(batch.x_0, batch.noise)
        denoise, kept = prior.denoise, []

        def watched(x_t, t):
            with torch.autograd.graph.saved_tensors_hooks(
                lambda tensor: kept.append(tensor.shape) or tensor, lambda tensor: tensor
            ):
                return denoise(x_t, t)

        prior.denoise = watched
        x_t, t = (
            batch.x_0.clone(),
            torch.tensor([0.4]),
        )  # as in training: the graph is that of h alone
        assert Posterior(prior, h, observation).denoise(x_t, t).requires_grad
        assert not kept
        prior.denoise(x_t.requires_grad_(), t)
        assert kept  # the watch sees what there is to see

    def test_a_trained_batch_is_its_signals_one_by_one(self):
        prior = self.learning_prior().double().frozen()
        h, batch = self.trained(prior).double(), self.batch(prior, 3)
        observation = small.objective().problem.draw(batch.x_0, batch.noise)
        t = torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)
        together = Posterior(prior, h, observation).denoise(batch.x_0, t)
        for i in range(3):
            alone = Posterior(prior, h, observation.take([i])).denoise(
                batch.x_0[i : i + 1], t[i : i + 1]
            )
            torch.testing.assert_close(alone[0], together[i], rtol=0, atol=1e-8)

    def test_no_signals(self):
        prior = self.learning_prior()
        batch = self.batch(prior, 0)
        observation = small.objective().problem.draw(batch.x_0, batch.noise)
        assert Posterior(prior, self.made(prior), observation).denoise(
            batch.x_0, torch.tensor([0.4])
        ).shape == (0, 2, 6, 10)

    def test_training_lowers_the_loss(self):
        prior, objective = small.prior(), small.objective()
        torch.manual_seed(1)
        h = self.made(prior)
        held_out = Batch(small.images(64, 7), Noise(range(64)))

        def loss(h: HTransform) -> float:
            with torch.no_grad():
                return float(objective.loss(h, prior, held_out).value.mean())

        before = loss(h)
        train(
            h,
            prior,
            objective,
            small.images(64),
            steps=self.steps,
            batch_size=16,
            learning_rate=3e-3,
            ema=0.9,
            progress=False,
        )
        assert loss(h) < 0.9 * min(before, loss(NoConditioning()))

    def test_a_file_gives_it_back(self, tmp_path):
        prior = small.prior()
        h = self.trained(prior)
        checkpoint.save(tmp_path / "h.safetensors", h, prior, {})
        again, _ = checkpoint.load(tmp_path / "h.safetensors", prior)
        assert type(again) is type(h)
        assert again.config == h.config
        assert not small.differing(again.state_dict(), h.state_dict())
