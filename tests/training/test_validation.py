import pytest
import torch

from deft.training.base import validate, validation_batches
from deft.training.batch import Loss
from deft.training.sources import Images
from deft.training.validation import Validation
from tests.training import small


def fake(batch):
    n = len(batch.x_0)
    log_snr = batch.noise.uniform(0) * 24 - 12
    return Loss(torch.where(log_snr < 0, 0.25, 1.0), {"without": torch.ones(n), "log_snr": log_snr})


def run(**settings):
    source = Images(small.images(5), small.prior())
    fixed = {
        "draws": 300,
        "batch_size": 7,
        "device": torch.device("cpu"),
        "dtype": torch.float32,
        **settings,
    }
    return validate(fake, small.objective(), validation_batches(source, **fixed))


def test_bins_tell_where_h_helps():
    result = run()
    assert sum(b.count for b in result.bins) == 300
    assert all(b.ratio == pytest.approx(0.25 if b.high <= 0 else 1.0) for b in result.bins)
    assert [b.low for b in result.bins[1:]] == [b.high for b in result.bins[:-1]]
    assert result.bins[0].low <= -12 + 1
    assert result.without == 1.0


def test_fixed_draws():
    assert run() == run(batch_size=300)
    assert run() != run(seed=1)


def test_card_and_table():
    import json

    result = run()
    assert Validation.from_card(json.loads(json.dumps(result.card()))) == result
    assert len(result.table().splitlines()) == len(result.bins) + 2
    assert "0.250" in result.table()
