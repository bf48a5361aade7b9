"""Tomography: the integrals of an image along straight rays, parallel or from a source.

    (A x)_kd = integral of x along ray d of view k

`geometry` and `angles` say where rays run, `joseph` integrates along them, `backprojection` weighs
and filters, `convolution` is what A^T A is close to, `operator` is A.
"""

from deft.operators.tomography.angles import views
from deft.operators.tomography.operator import Tomography

Tomography.__module__ = __name__  # one public path, in pickles and fingerprints

__all__ = ["Tomography", "views"]
