"""A name becomes a latent vector, the same one on every machine and in every language.

z is a function of the name alone. SHA-256 in counter mode over the scheme's tag, the name and a block number gives
uint32 words; each word w becomes the probability (w + 0.5) / 2^32 and, through the inverse normal distribution
function, a standard normal number, computed in double precision and rounded to float32.

Only +, -, *, / and sqrt are used, which IEEE 754 rounds correctly. The library's `log` differs in its last bit between
CPUs, NumPy builds and languages. Any change here needs a new SCHEME.

The inverse normal: M. J. Wichura, "Algorithm AS 241: The Percentage Points of the Normal Distribution", Applied
Statistics 37 (1988), routine PPND16. The logarithm: Sun's fdlibm, `e_log.c`.
"""

import hashlib
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from numbers import Real

import numpy as np
import numpy.typing as npt

from avatar_runtime.errors import InputError

SCHEME = "avatar-edge-latent-1"

_WORDS_PER_BLOCK = 8  # SHA-256 gives 32 bytes

_Float64 = npt.NDArray[np.float64]


def _arrays(*numbers: float) -> tuple[_Float64, ...]:
    """Each number as an array: NumPy adds it in two thirds of the time that a Python number takes."""
    return tuple(map(np.array, numbers))


# fmt: off
# Wichura's coefficients, highest power first: A/B for |p - 0.5| <= 0.425, C/D for the tails. His third pair serves
# p < exp(-25) = 1.4e-11; our smallest p is 2^-33 = 1.2e-10, so it is not needed.
_A = _arrays(
    2.5090809287301226727e3, 3.3430575583588128105e4, 6.7265770927008700853e4, 4.5921953931549871457e4,
    1.3731693765509461125e4, 1.9715909503065514427e3, 1.3314166789178437745e2, 3.3871328727963666080e0)
_B = _arrays(
    5.2264952788528545610e3, 2.8729085735721942674e4, 3.9307895800092710610e4, 2.1213794301586595867e4,
    5.3941960214247511077e3, 6.8718700749205790830e2, 4.2313330701600911252e1, 1.0)
_C = _arrays(
    7.74545014278341407640e-4, 2.27238449892691845833e-2, 2.41780725177450611770e-1, 1.27045825245236838258e0,
    3.64784832476320460504e0, 5.76949722146069140550e0, 4.63033784615654529590e0, 1.42343711074968357734e0)
_D = _arrays(
    1.05075007164441684324e-9, 5.47593808499534494600e-4, 1.51986665636164571966e-2, 1.48103976427480074590e-1,
    6.89767334985100004550e-1, 1.67638483018380384940e0, 2.05319162663775882187e0, 1.0)

# fdlibm's polynomial for log((1 + s) / (1 - s)), highest power first, and ln 2 in two parts.
_LOG = _arrays(
    1.479819860511658591e-01, 1.531383769920937332e-01, 1.818357216161805012e-01, 2.222219843214978396e-01,
    2.857142874366239149e-01, 3.999999999940941908e-01, 6.666666666666735130e-01)
# fmt: on
_LN2_HIGH, _LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
_SQRT_HALF = 0.7071067811865476


def latent(name: str, latent_dim: int) -> npt.NDArray[np.float32]:
    """The latent vector of one name: float32 [latent_dim], standard normal."""
    z: npt.NDArray[np.float32] = latents([name], latent_dim)[0]
    return z


def latents(names: Sequence[str], latent_dim: int) -> npt.NDArray[np.float32]:
    """The latent vectors of names.

    Args:
        names: Any strings. Row i of the result depends on names[i] and on nothing else.
        latent_dim: Length of a vector.

    Returns:
        float32 [len(names), latent_dim], standard normal.

    Raises:
        InputError: A name is not a string.
    """
    blocks = -(-latent_dim // _WORDS_PER_BLOCK)
    data = b"".join(_random_bytes(name, blocks) for name in names)
    words = np.frombuffer(data, dtype=">u4").reshape(len(names), blocks * _WORDS_PER_BLOCK)
    return standard_normal(words[:, :latent_dim])


def series(seed: str | int, count: int) -> Iterator[str]:
    """The names of a series: "S/0", "S/1", … "S/(count - 1)" for seed S. Raises InputError for another kind of seed."""
    if isinstance(seed, bool) or not isinstance(seed, str | int | np.integer):
        raise InputError(f"a seed must be text or a whole number, not {seed!r}")
    return (f"{seed}/{i}" for i in range(count))


def truncate(z: npt.NDArray[np.float32], truncation: float) -> npt.NDArray[np.float32]:
    """Scale latents, the truncation trick: Karras et al., "A Style-Based Generator Architecture for GANs", CVPR 2019,
    appendix B.

    Args:
        z: float32 [N, latent_dim].
        truncation: 0 to 2. Below 1 the faces are closer to the average face, above 1 they are stranger.

    Returns:
        float32 [N, latent_dim].

    Raises:
        InputError: truncation is not a finite number from 0 to 2.
    """
    if not (isinstance(truncation, Real) and 0 <= truncation <= 2):
        raise InputError(f"truncation must be a finite number from 0 to 2, not {truncation!r}")
    return z if truncation == 1 else z * np.float32(truncation)


def standard_normal(words: npt.NDArray[np.unsignedinteger]) -> npt.NDArray[np.float32]:
    """Uniform uint32 words to standard normal numbers: float32 of the same shape, within ±6.34."""
    q = words * 2.0**-32 - (0.5 - 2.0**-33)  # the probability less a half, exactly
    r = 0.180625 - q * q
    z = q * _polynomial(_A, r) / _polynomial(_B, r)
    from_half = np.abs(q)
    tail = np.nonzero(from_half > 0.425)
    if len(tail[0]):
        r = np.sqrt(-_log(0.5 - from_half[tail])) - 1.6
        z[tail] = np.copysign(_polynomial(_C, r) / _polynomial(_D, r), q[tail])
    return z.astype(np.float32)


def check_names(names: Iterable[str]) -> Iterable[str]:
    """Return names as they are. Raises InputError for a bare string, which would become one name per letter."""
    if isinstance(names, str | bytes):
        raise InputError(f"names must be a list of strings; for one avatar write [{names!r}]")
    if not isinstance(names, Iterable):
        raise InputError(f"names must be a list of strings, or a whole number of avatars, not {names!r}")
    return names


def _random_bytes(name: str, blocks: int) -> bytes:
    if not isinstance(name, str):
        raise InputError(f"a name must be a string, not {name!r}; for numbered avatars give a count and a seed")
    # Lone surrogates become U+FFFD, as in JavaScript's TextEncoder, so that every string has a face.
    text = name.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    prefix = b"\0".join((SCHEME.encode(), unicodedata.normalize("NFC", text).encode(), b""))
    state = hashlib.sha256(prefix)
    digests = []
    for block in range(blocks):
        part = state.copy()
        part.update(block.to_bytes(4, "big"))
        digests.append(part.digest())
    return b"".join(digests)


def _polynomial(coefficients: Sequence[_Float64], x: _Float64) -> _Float64:
    value = coefficients[0] * x
    for coefficient in coefficients[1:-1]:
        value += coefficient  # two roundings, never a fused multiply-add
        value *= x
    value += coefficients[-1]
    return value


def _log(x: _Float64) -> _Float64:
    mantissa, exponent = np.frexp(x)
    low = mantissa < _SQRT_HALF
    f = mantissa + mantissa * low - 1  # doubled where low
    k = exponent - low.astype(np.float64)
    s = f / (2 + f)
    s2 = s * s
    half = 0.5 * f * f
    log: _Float64 = k * _LN2_HIGH - ((half - (s * (half + s2 * _polynomial(_LOG, s2)) + k * _LN2_LOW)) - f)
    return log
