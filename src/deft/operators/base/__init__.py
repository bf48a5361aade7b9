"""Forward operators: what a measurement sees of a signal, without its noise.

    y = A(x_0) + noise

What differs per signal (mask, kernel, angles) is registered with `per_signal`; `take` and `repeat`
are written once, here. A linear operator has its adjoint and solves the normal equations of a
Gaussian posterior,

    solve(v, r2, s2) = (r2 A A^T + s2 I)^{-1} v,

in closed form where it knows a singular value decomposition A = U diag(s) V^T, by conjugate
gradients where not. At s2 = 0 the inverse is the pseudo-inverse, so that adjoint(solve(y, 1, 0)) =
A^+ y.

What a residual y - A(x_0) says about an x_0 that is known to within r, from a measurement with
noise s, is its `pull`

    linear:      A^T (r2 A A^T + s2 I)^{-1} residual
    any other:   J^T residual / (r2 L^2 + s2),    J = dA / dx_0,    L = |A(x_0 + h) - A(x_0)| / |h|,
    h along J^T residual, of length r sqrt(d)

The latter is the gradient of the log-likelihood log N(y; A(x_0), (s2 + r2 L^2) I), tempered by what
the uncertainty of x_0 adds to the noise; an operator that knows J well solves its equations
instead, J^T (r2 J J^T + s2 I)^{-1} residual (`NonlinearBlur`).

Every entry checks what it is given (`checked`), in classes of the user's own too: a real floating
tensor, of the shape that `signal_shape` or `measurement_shape` says, as many results as signals;
`lift` refuses NaN and infinity.
"""

from deft.operators.base.forward import ForwardOperator
from deft.operators.base.linear import LinearOperator
from deft.operators.base.reach import pull_of_lifts, within_reach
from deft.operators.base.spectral import SpectralOperator

__all__ = [
    "ForwardOperator",
    "LinearOperator",
    "SpectralOperator",
    "pull_of_lifts",
    "within_reach",
]
