"""The batches of validations: the same every time, and the prior is asked of them once."""

import torch

from deft.noise import Noise
from deft.priors.unet import UNetPrior
from deft.training import losses
from deft.training.batch import Batch, several
from deft.training.denoising import DenoisingScoreMatching
from deft.training.loop import train
from tests.training import small


def run(h, monkeypatch, **settings) -> tuple[list[float], int]:
    """The validation losses, and how often the prior was asked."""
    calls, real = [], UNetPrior.denoise

    def counted(prior, x_t, t):
        calls.append(len(x_t))
        return real(prior, x_t, t)

    with monkeypatch.context() as patch:
        patch.setattr(UNetPrior, "denoise", counted)
        result = train(
            h,
            small.prior(),
            small.objective(),
            small.images(),
            steps=6,
            batch_size=4,
            validation=small.images(8, 1),
            validation_draws=10,
            validate_every=2,
            progress=False,
            **settings,
        )
    found = [line["validation"]["loss"] for line in result.history if "validation" in line]
    return found, sum(calls)


def test_the_prior_is_asked_once_and_the_losses_are_the_same(monkeypatch):
    kept, fewer = run(small.h_transform(), monkeypatch)
    monkeypatch.setattr(losses, "_KEPT_BYTES", 0)
    again, more = run(small.h_transform(), monkeypatch)
    assert kept == again
    assert len(kept) == 3
    assert more - fewer == 20  # two validations of ten draws


def test_several_measurements_of_one_evaluation():
    """The same x_0 and the same estimate side by side, with independent noise."""
    prior, objective = small.prior(), small.objective()
    batch = Batch(small.images(3), Noise(range(3)))
    ahead = objective.ahead(small.h_transform(), prior, batch)
    found = several(ahead, 4)
    assert len(found) == 12
    assert len(set(found.noise.seeds)) == 12
    for i in range(12):
        assert torch.equal(found.x_0[i], batch.x_0[i // 4])
        assert torch.equal(found.denoised.x_0_hat[i], ahead.denoised.x_0_hat[i // 4])
        assert found.denoised.t[i] == ahead.denoised.t[i // 4]


def test_the_loss_is_the_mean_over_measurements(monkeypatch):
    h, prior = small.h_transform(), small.prior()
    objective = DenoisingScoreMatching(small.objective().problem, per_evaluation=3)
    batch = Batch(small.images(4), Noise(range(4)))
    loss = objective.loss(h, prior, batch)
    one = small.objective()
    apart = one.loss(h, prior, several(one.ahead(h, prior, batch), 3))
    torch.testing.assert_close(loss.value, apart.value.reshape(4, 3).mean(1))
    torch.testing.assert_close(loss.shown["log_snr"], apart.shown["log_snr"][::3])
    with torch.no_grad():  # a validation takes one
        assert torch.equal(objective.loss(h, prior, batch).value, one.loss(h, prior, batch).value)


def test_the_expectation_of_the_loss_does_not_change():
    """Over many draws the mean losses agree within four standard errors."""
    h, prior = small.h_transform(), small.prior()
    x_0 = small.images(400)
    means = []
    for count in (1, 4):
        objective = DenoisingScoreMatching(small.objective().problem, per_evaluation=count)
        value = objective.loss(h, prior, Batch(x_0, Noise(range(400)))).value.detach()
        means.append((value.mean(), value.std() / 20))
    (a, da), (b, db) = means
    assert abs(a - b) < 4 * (da**2 + db**2).sqrt()
