"""A scan of which everything is known, made by numpy alone: an image, coils, k-space."""

import numpy as np

SIZE, COILS = 16, 6
LINES = np.isin(np.arange(SIZE), [0, 2, 4, 6, 7, 8, 9, 10, 12, 14])
AXES = (-2, -1)


def _fft(z, before, after):
    z = np.fft.ifftshift(z, axes=AXES) if before else z
    k = np.fft.fft2(z, norm="ortho")
    return np.fft.fftshift(k, axes=AXES) if after else k


TRANSFORMS = {
    "centred": lambda z: _fft(z, True, True),
    "shifted": lambda z: _fft(z, False, True),
    "corner": lambda z: _fft(z, True, False),
    "plain": lambda z: _fft(z, False, False),
}


def image(size=SIZE, seed=0):
    """A smooth complex image in the unit disc, (size, size)."""
    rng = np.random.default_rng(seed)
    low = rng.standard_normal((5, 5)) + 1j * rng.standard_normal((5, 5))
    k = np.zeros((size, size), complex)
    k[size // 2 - 2 : size // 2 + 3, size // 2 - 2 : size // 2 + 3] = low
    z = np.fft.ifft2(np.fft.ifftshift(k))
    return (z / np.abs(z).max()).astype(np.complex64)


def maps(size=SIZE, coils=COILS):
    """Sensitivities of coils around the image, each with a phase of its own that bends."""
    down, across = np.meshgrid(np.linspace(-1, 1, size), np.linspace(-1, 1, size), indexing="ij")
    angle = 2 * np.pi * np.arange(coils)[:, None, None] / coils
    apart = (down - 1.2 * np.sin(angle)) ** 2 + (across - 1.2 * np.cos(angle)) ** 2
    strength = np.exp(-apart / 1.28)
    strength /= np.sqrt((strength**2).sum(0))
    return (strength * np.exp(1j * (angle + 0.5 * down))).astype(np.complex64)


def k_space(fft="centred", noise=0.0, lines=LINES, size=SIZE, coils=COILS, seed=0):
    """Frequencies of the image by its coils, (coils, size, size); without `lines` all of them."""
    k = TRANSFORMS[fft](maps(size, coils) * image(size))
    rng = np.random.default_rng(seed)
    k = k + noise * (rng.standard_normal(k.shape) + 1j * rng.standard_normal(k.shape))
    if lines is not None:
        k = k * stored(lines, fft)
    return k.astype(np.complex64)


def stored(lines, fft):
    """Lines as they stand in k-space of that convention."""
    return np.fft.ifftshift(lines) if fft in ("corner", "plain") else lines
