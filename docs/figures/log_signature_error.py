"""Prints errors of log-signatures in float32: the table of the guide.

Of 16 Brownian paths of 100 points over a unit of time, on the highest level and relative to it:
the signature, the log-signature by methods 1 and 2, and the signature that method 2 gives back.
References are of the same points in float64; the last line is float64's own way back.
"""

import numpy as np

import arraysig

SIZES = ((5, 5), (2, 6), (3, 6), (3, 8), (2, 10))


def paths(channels: int) -> np.ndarray:
    """Brownian paths, of numbers that float32 holds."""
    steps = np.random.default_rng(0).normal(size=(16, 100, channels)) / 10
    return steps.cumsum(axis=1).astype("float32")


def error(got: np.ndarray, exact: np.ndarray, lower: int) -> float:
    """Of what comes after the `lower` first numbers."""
    got, exact = got[:, lower:], exact[:, lower:]
    return float(np.linalg.norm(got - exact) / np.linalg.norm(exact))


def errors(path: np.ndarray, degree: int) -> list[float]:
    """Of the signature, of both methods, and of the way back."""
    channels, exact = path.shape[2], path.astype("float64")
    size, below = (channels, degree), (channels, degree - 1)
    words, lyndon = arraysig.sig_length(*below), arraysig.log_sig_length(*below)
    sig = arraysig.sig(exact, degree)
    found = [error(arraysig.sig(path, degree), sig, words)]
    for method in (1, 2):
        got, wanted = (arraysig.log_sig(x, degree, method=method) for x in (path, exact))
        found.append(error(got, wanted, lyndon))
    return [*found, error(arraysig.logsig_to_sig(got, *size, method=2), sig, words)]


if __name__ == "__main__":
    for channels, degree in SIZES:
        found = errors(paths(channels), degree)
        print(f"{channels}, {degree}:", *(f"{e:.0e}" for e in found))
    sig = arraysig.sig(paths(3), 8)
    for method in (1, 2):
        exact = arraysig.log_sig(paths(3).astype("float64"), 8, method=method)
        got = arraysig.sig_to_log_sig(sig.astype("float64"), 3, 8, method=method)
        lower = arraysig.log_sig_length(3, 7)
        print(f"float64 of a float32 signature, method {method}: {error(got, exact, lower):.0e}")
    exact = paths(2).astype("float64")
    print("float64, degree 12:", f"{errors(exact, 12)[-1]:.0e}")
