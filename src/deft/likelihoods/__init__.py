"""Likelihoods p(y | x_0): a noise model around a forward operator, and the observation that carries
both.

    y = A(x_0) + sigma_y eps,
    log p(y | x_0) = -||y - A(x_0)||^2 / (2 sigma_y^2) - m log(sigma_y sqrt(2 pi))

What a learned h-transform reads of it is the guidance

    r_t g,    g = A^T (r_t^2 A A^T + sigma_y^2 I)^{-1} (y - A x_0_hat),
    r_t^2 = s^2 sigma_t^2 / (alpha_t^2 s^2 + sigma_t^2)

with s the standard deviation of x_0: for a white Gaussian prior E[x_0 | x_t, y] - E[x_0 | x_t] is
exactly r_t^2 g, and r_t g has a standard deviation of at most 1 at every t and sigma_y, 0 included.
An operator that is not linear says itself what stands in place of g (`ForwardOperator.pull`).

Log-likelihoods are sums over many entries of terms that nearly cancel: they are formed, and
returned, in double precision, whatever the precision of x_0 and y. A(x_0) itself is computed in
double where the operator can (`ForwardOperator.any_precision`), and in the precision of x_0
elsewhere.
"""

from deft.likelihoods.base import Likelihood
from deft.likelihoods.counts import EmissionLikelihood, PoissonLikelihood
from deft.likelihoods.doubts import warn_doubts
from deft.likelihoods.gaussian import GaussianLikelihood
from deft.likelihoods.observation import Observation

for _public in (Likelihood, EmissionLikelihood, PoissonLikelihood, GaussianLikelihood, Observation):
    _public.__module__ = __name__  # one public path, in pickles and results

__all__ = [
    "EmissionLikelihood",
    "GaussianLikelihood",
    "Likelihood",
    "Observation",
    "PoissonLikelihood",
    "warn_doubts",
]
