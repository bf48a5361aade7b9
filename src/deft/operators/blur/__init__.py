"""Blur: convolution with a kernel per signal, the same for every channel.

    (A x)_i = sum_j k_j x_{i + c - j},    c = size // 2, the kernel's centre

Beyond the borders the signal is continued periodically (`CircularBlur`) or mirrored
(`ReflectBlur`); `Blur` chooses. "reflect" is scipy's word, and repeats the edge, c b a | a b c;
"reflect" of torch.nn.functional.pad and of deepinv does not, c b | a b c, and is not offered here.

Periodic: A is diagonal in the Fourier basis, A = F^H diag(k_hat) F. A real decomposition A = U
diag(s) V^T comes from the Hartley transform H, real, symmetric and orthonormal:

    s = |k_hat|,    V = H,    U = P H,    P = F^H diag(k_hat / |k_hat|) F

since A^T A is a symmetric circulant matrix, which H diagonalises, and P is orthogonal.

Mirrored: A = C E, with E the mirror extension and C the part of a longer periodic convolution that
needs no continuation; A^T = E^T C^T to rounding. For a kernel symmetric in each axis A is diagonal
in the cosine basis (DCT-II; Ng, Chan & Tang 1999, doi:10.1137/S1064827598341384), which
preconditions the conjugate gradients for every other.
"""

from deft.operators.blur.borders import Blur, check_border
from deft.operators.blur.circular import CircularBlur
from deft.operators.blur.reflect import ReflectBlur

for _public in (CircularBlur, ReflectBlur):
    _public.__module__ = __name__  # one public path, in pickles and fingerprints

__all__ = ["Blur", "CircularBlur", "ReflectBlur", "check_border"]
