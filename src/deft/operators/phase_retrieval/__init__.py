"""Phase retrieval: the magnitudes of a Fourier transform, without its phases.

    A(x_0) = |F P u|,    u = (x_0 - low) / (high - low)

for each channel, with P padding u with zeros to twice its size along each axis and F the
orthonormal Fourier transform of that canvas. The frequency 0 stands at (0, 0), as torch.fft.fft2
has it: detectors that show it in the middle need torch.fft.ifftshift(y, dim=(-2, -1)) first.

What A cannot tell apart, and `align` removes: u rotated by 180 degrees, u moved about its canvas
and, where u has a sign, -u; each channel by itself.

`lift` is hybrid input-output (Fienup 1982, doi:10.1364/AO.21.002758), from several starts,

    z' = F^{-1}(y F z / |F z|),
    z <- z' where z' is possible (within the image, not negative), z - beta z' elsewhere,

followed by error reduction, z <- z' where it is possible and 0 elsewhere; of all starts the one
that explains y best. It is a reconstruction in its own right and costs hundreds of transforms:
`Observation.lifted` keeps it for all steps of a sampler.
"""

from deft.operators.phase_retrieval.magnitudes import check_noise
from deft.operators.phase_retrieval.operator import PhaseRetrieval

PhaseRetrieval.__module__ = __name__  # one public path, in pickles and fingerprints

__all__ = ["PhaseRetrieval", "check_noise"]
