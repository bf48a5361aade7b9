"""What a pipeline answers."""

import dataclasses

import numpy as np
import pytest
import torch

import deft
from deft.errors import InvalidInput, SamplesNotFinite
from deft.htransforms.exact import Exact
from deft.metrics.alarm import reference
from deft.operators.matrix import Matrix
from deft.pipeline.answers import Answers, Assessment, answered
from deft.priors.gaussian_mixture import GaussianMixture
from deft.problems import Denoising, Fixed
from deft.schedules import VPLinear
from deft.studies.conformal import calibrate
from deft.studies.method import Method, describe
from tests.closed_form import DOUBLE, gaussian
from tests.metrics.alarm import smooth

SHAPE = (1, 4, 4)
PROBLEM = Fixed(deft.operators.Identity(), sigma_y=0.5)
SAMPLER = deft.DPMSolver(20)


def prior():
    """A Gaussian, whose exact posterior is known: mean y / (1 + 0.25), variance 0.2."""
    return GaussianMixture(torch.zeros(1, *SHAPE), torch.ones(1), None, VPLinear())


def h():
    return Exact(prior())


def signals(n, seed=0):
    return torch.randn(n, *SHAPE, generator=torch.Generator().manual_seed(seed))


def pipe(**card):
    return deft.DeftPipeline(h(), prior(), PROBLEM, SAMPLER, card=card)


def test_mean_and_deviation_are_those_of_the_posterior():
    x_0 = signals(3)
    y = PROBLEM.draw(x_0, deft.Noise(range(3))).y
    answers = pipe()(y, num_samples=400, seed=1)
    torch.testing.assert_close(answers.mean, y / 1.25, rtol=0, atol=0.12)  # 5 standard errors
    assert float(answers.std.mean()) == pytest.approx(0.2**0.5, rel=0.05)
    assert answers.std.shape == answers.mean.shape == (3, *SHAPE)
    for verdict in answers.verdicts:
        assert verdict.misfit == pytest.approx(1, abs=0.5)
        assert not verdict.doubtful
        assert verdict.effective_sample_size is None


def test_a_misfit_that_is_far_is_said():
    y = PROBLEM.draw(signals(1), deft.Noise([0])).y
    answers = pipe()(y + 20, num_samples=4)
    (verdict,) = answers.verdicts
    assert verdict.far == "above"
    assert verdict.doubtful
    assert "far above what is right" in str(answers)


def test_the_effective_sample_size_where_it_is_asked_for():
    """That of paths of DDIM with fresh noise, with as many steps."""
    observed = PROBLEM.draw(signals(2), deft.Noise(range(2)))
    y = observed.y
    answers = pipe()(observed, num_samples=2, steps=8, paths=4, seed=3)
    posterior = deft.Posterior(prior(), h(), observed)
    walked = deft.simulate(posterior, deft.DDIM(8, eta=1.0), 4, seed=3)
    expected = deft.weigh(walked, posterior)
    for i, verdict in enumerate(answers.verdicts):
        assert verdict.paths == 4
        assert verdict.effective_sample_size == float(expected.effective_sample_size[i])
        assert verdict.log_evidence == float(expected.log_evidence[i])
        assert "of 4 paths" in verdict.line()
    for wrong in (-1, True, 2.0):
        with pytest.raises(InvalidInput) as raised:
            pipe()(y, paths=wrong)
        assert raised.value.what == "paths"


def test_the_alarm_where_the_card_has_a_reference():
    sampler = deft.DPMSolver(3)
    problem = Fixed(Matrix(smooth.blur()[None]), smooth.SIGMA_Y)
    exact = Exact(smooth.prior())
    known = reference(
        smooth.prior(),
        exact,
        problem,
        smooth.signals(20, 1),
        sampler,
        sampler_card=describe(sampler),
        num_samples=2,
        noise_images=2,
    )
    one = deft.DeftPipeline(exact, smooth.prior(), problem, sampler, card={"alarm": known.card()})
    observed = smooth.measured(smooth.signals(2, 5), 6)
    for verdict in one(observed, num_samples=2).verdicts:
        assert verdict.alarm is not None
        assert f"p = {verdict.alarm.p:.2g}" in verdict.line()
    other = one(observed, num_samples=2, steps=4)
    assert other.verdicts[0].alarm is None
    assert "another sampler" in other.notes[0]


def test_intervals_where_they_were_calibrated(tmp_path):
    mixture, problem = gaussian(), Denoising(sigma_y=0.5)
    sampler, exact = deft.DPMSolver(8), Exact(mixture)
    truth = mixture.sample(deft.Noise(range(20), dtype=DOUBLE))
    found = calibrate(
        mixture,
        problem,
        truth,
        Method("exact", exact, sampler),
        out=tmp_path,
        samples=4,
        level=0.8,
        progress=False,
    )
    one = deft.DeftPipeline(exact, mixture, problem, sampler, found)
    y = problem.draw(truth[:2], deft.Noise(range(2), dtype=DOUBLE)).y
    answers = one(y, num_samples=4)
    assert answers.low.shape == answers.high.shape == answers.mean.shape
    seen = answers.low.isfinite()
    assert bool((answers.low < answers.high)[seen].all())
    assert bool(((answers.low < answers.mean) & (answers.mean < answers.high))[seen].all())
    for options in ({"steps": 5}, {"sigma_y": 0.7}, {"num_samples": 1}):
        without = one(y, **{"num_samples": 4, **options})
        assert without.low is None
        assert without.notes[0].startswith("no intervals: ")
    same = one(y, num_samples=4, sigma_y=0.5, operator=deft.operators.Identity())
    assert torch.equal(same.low[seen], answers.low[seen])
    assert "the operator is yours" in same.notes[0]


def answers(channels=1, value_range=(-1.0, 1.0)):
    x = torch.linspace(-1.5, 1.5, 2 * 3 * channels * 16).reshape(2, 3, channels, 4, 4)
    observed = PROBLEM.draw(x[:, 0], deft.Noise(range(2)))
    return Answers(x, (Assessment(), Assessment()), observed, value_range, x[:, 0], x[:, 1])


def test_torch_takes_answers_as_their_samples():
    a = answers()
    assert a.shape == (2, 3, 1, 4, 4)
    assert len(a) == 2
    assert torch.equal(a, a.samples)
    assert torch.equal(torch.stack([a, a])[1], a.samples)
    assert torch.equal(torch.sum(input=a), a.samples.sum())
    assert torch.equal(a[1, 0], a.samples[1, 0])


def test_one_sample_has_no_deviation():
    a = dataclasses.replace(answers(), samples=answers().samples[:, :1])
    assert float(a.std.abs().max()) == 0


def test_another_range():
    a = answers().to_range((-1000.0, 1500.0))
    torch.testing.assert_close(a.samples, answers().samples * 1250 + 250)
    torch.testing.assert_close(a.std, answers().std * 1250)
    torch.testing.assert_close(a.high, answers().high * 1250 + 250)
    assert a.value_range == (-1000.0, 1500.0)
    with pytest.raises(InvalidInput, match="no range"):
        answers(value_range=None).to_range((0.0, 1.0))


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_pictures(channels, mode):
    a = answers(channels)
    shown = a.picture(1, 2)
    assert (shown.mode, shown.size) == (mode, (4, 4))
    expected = ((a.samples[1, 2].clamp(-1, 1) + 1) * 127.5).round().numpy()
    found = np.asarray(shown).reshape(4, 4, channels).transpose(2, 0, 1)
    np.testing.assert_allclose(found, expected, atol=1)
    assert np.asarray(a.picture()).mean() == pytest.approx(
        float(((a.mean[0].clamp(-1, 1) + 1) * 127.5).mean()), abs=1
    )
    assert a.to_range((0.0, 1.0)).picture(1, 2).tobytes() == shown.tobytes()
    with pytest.raises(InvalidInput, match="1 or 3, height, width"):
        answers(2).picture()


def test_samples_that_are_not_finite():
    x = signals(2)[:, None].clone()
    x[1, 0, 0, 0, 0] = torch.nan
    observed = PROBLEM.draw(signals(2), deft.Noise(range(2)))
    with pytest.raises(SamplesNotFinite, match="measurement 2"):
        answered(Method("DEFT", h(), SAMPLER), prior(), PROBLEM, observed, x)


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"steps": 3, "sampler": deft.DDIM(3)}, "steps"),
        ({"sampler": "DDIM"}, "sampler"),
        ({"steps": 0}, "steps"),
        ({"num_samples": 0}, "num_samples"),
        ({"batch_size": 0}, "batch_size"),
    ],
)
def test_options_that_are_refused(options, what):
    with pytest.raises(InvalidInput) as raised:
        pipe()(torch.zeros(1, *SHAPE), **options)
    assert raised.value.what == what


def test_a_sampler_of_ones_own():
    y = PROBLEM.draw(signals(1), deft.Noise([0])).y
    by = deft.DDIM(5)
    observed = deft.Observation(y, PROBLEM.likelihood(deft.operators.Identity(), y))
    expected = by(deft.Posterior(prior(), h(), observed), 2, seed=3)
    assert torch.equal(pipe()(y, num_samples=2, sampler=by, seed=3), expected)
    assert not torch.equal(pipe()(y, num_samples=2, seed=3, steps=5), expected)
