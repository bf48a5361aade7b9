"""JPEG: what is left of a picture that was stored with a low quality.

    A(x_0) = decode(encode(x_0))

encode: grey levels, colours by JFIF, colour planes sampled once for 2 x 2 places (4:2:0), the
cosine transform of blocks of 8 x 8, each coefficient c rounded to k = round(c / q) by the tables of
`deft.operators.jpeg.tables`; decode: the same backwards, from q k.

y says of each coefficient that it lies in a cell, q (k - 1/2) <= c <= q (k + 1/2). Where the
estimate has a coefficient c_hat outside of it, the residual pulls it to the nearest point of the
inner half of that cell and no further (`JPEG.pull`); within the cell nothing is said. (For a
Gaussian c of a deviation far above q the mean given y is the middle of the cell, far below q its
edge.)
"""

from deft.operators.jpeg.operator import JPEG, Chroma

JPEG.__module__ = __name__  # one public path, in pickles and fingerprints

__all__ = ["JPEG", "Chroma"]
