"""Draw the error of `sig_kernel`: ``python docs/figures/kernel_error.py`` writes kernel_error.svg.

It also prints the errors, those of polynomial cells too.

Pairs of Brownian paths over a unit of time, in two dimensions and float64; polynomial cells in
float32 as well. References are Richardson's extrapolations of orders 5 and 6, and polynomial cells
of order 16.
"""

import itertools
import pathlib

import numpy as np

import arraysig

ORDERS = np.arange(6)
LENGTHS = 100, 1000
PAIRS = 16


def paths(length: int) -> np.ndarray:
    """Both sets of paths."""
    rng = np.random.default_rng(length)
    steps = rng.normal(scale=(length - 1) ** -0.5, size=(2, PAIRS, length, 2))
    return steps.cumsum(axis=2)


def polynomial_errors(length: int, fold: int, dtype: str) -> list[float]:
    """The same of polynomial cells of orders 2, 3, 4, 6 and 8."""
    one, two = paths(length)
    exact = arraysig.sig_kernel(one, two, order=16, fold=2)
    one, two = one.astype(dtype), two.astype(dtype)
    found = [arraysig.sig_kernel(one, two, order=order, fold=fold) for order in (2, 3, 4, 6, 8)]
    return [float(np.sqrt(((k - exact) ** 2).mean() / (exact**2).mean())) for k in found]


def errors(length: int) -> np.ndarray:
    """Root of the mean squared error at each order, relative to that of the kernels."""
    one, two = paths(length)
    kernels = np.stack([arraysig.sig_kernel(one, two, order, n_jobs=-1) for order in range(7)])
    exact = kernels[6] + (kernels[6] - kernels[5]) / 3
    return np.sqrt(((kernels[: len(ORDERS)] - exact) ** 2).mean(1) / (exact**2).mean())


def draw(to: pathlib.Path) -> None:
    """Draw errors against orders and against cells."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    plt.rcParams.update({"svg.hashsalt": "arraysig", "svg.fonttype": "none", "font.size": 9})
    fig, (left, right) = plt.subplots(1, 2, figsize=(7, 3), sharey=True, layout="constrained")
    for length, marker in zip(LENGTHS, "os", strict=True):
        error = errors(length)
        print(length, *(f"{e:.1e}" for e in error))
        label = f"{length} points"
        left.semilogy(ORDERS, error, marker + "-", label=label)
        right.loglog((length - 1) ** 2 * 4.0**ORDERS, error, marker + "-", label=label)
    left.set(xlabel="dyadic order", ylabel="relative error")
    right.set(xlabel="cells per pair")
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.minorticks_off()
        axes.spines[["top", "right"]].set_visible(False)
    left.legend(frameon=False)
    fig.savefig(to, metadata={"Date": None})


if __name__ == "__main__":
    for length in LENGTHS:
        for fold, dtype in itertools.product((0, 1, 2), ("float64", "float32")):
            errors_of_cells = polynomial_errors(length, fold, dtype)
            print(length, dtype, f"fold={fold}", *(f"{e:.0e}" for e in errors_of_cells))
    draw(pathlib.Path(__file__).with_suffix(".svg"))
