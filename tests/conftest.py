"""What every test shares: shapes checked at run time, one thread, fixed seeds."""

import os
import signal

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import hypothesis
from jaxtyping import install_import_hook

import tests.shapes  # noqa: F401  the hook looks the checker up where it is already imported

# The mathematics only: functions that take what a user hands in (metrics, data, reports) say
# themselves what is wrong with it.
CHECKED = (
    "htransforms",
    "likelihoods",
    "networks",
    "operators",
    "paths",
    "posterior",
    "priors",
    "problems",
    "samplers",
    "schedules",
)
install_import_hook([f"deft.{name}" for name in CHECKED], "tests.shapes.checked")

hypothesis.settings.register_profile("deft", deadline=None)  # no test depends on a clock
hypothesis.settings.load_profile("deft")

import pytest  # noqa: E402
import torch  # noqa: E402

torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _signals_as_usual():
    """Where tests run behind `nohup` SIGHUP is ignored, which the library respects; tests of what
    it does need it as usual.
    """
    from deft import signals  # after the import hook

    ignored = [n for n in signals.TERMINATION if signal.getsignal(n) is signal.SIG_IGN]
    for number in ignored:
        signal.signal(number, signal.SIG_DFL)
    yield
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)


@pytest.fixture(autouse=True)
def _seeded():
    """Global random state does not leak between tests; the library itself never reads it."""
    torch.manual_seed(0)
