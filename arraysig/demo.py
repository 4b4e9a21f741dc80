"""The demonstration: tell four activities apart by the sensors of a smart watch.

Each recording is a path; its signature, a few hundred numbers, is all that a linear classifier
needs to tell the activities apart. A support vector machine needs the signature kernels of all
pairs of recordings, which count all levels of the signatures.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ._core import cpu, cuda
from .files import written_at_once
from .kernels import sig_kernel_gram
from .signature import sig
from .static_kernels import RBFKernel

RATE = 10.0  #: points per second
CHANNELS = tuple(f"{sensor} {axis}" for sensor in ("acceleration", "rotation") for axis in "xyz")
_CHANNEL_COLOURS = ("#08519c", "#3182bd", "#9ecae1", "#a63603", "#e6550d", "#fdae6b")
_CLASS_COLOURS = ("#1b9e77", "#d95f02", "#7570b3", "#e7298a")
_REPEATS = 5
_FITS = 2  # the first one imports scikit-learn
_BANDWIDTHS = (1, 4, 16)  # of the static kernel, in medians of squared distances of points
_PENALTIES = (0.1, 1, 10, 100)  # of the support vector machine, for points on the wrong side


class Part(NamedTuple):
    """The training or the test recordings.

    Attributes
    ----------
    paths : float64, shape (batch, length, dimension)
    labels : name of the activity of each
    """

    paths: Any
    labels: Any


def load() -> tuple[Part, Part]:
    """Read BasicMotions from the files that sktime carries: training and test part."""
    from sktime.datasets import load_basic_motions

    def part(split: str) -> Part:
        values, labels = load_basic_motions(split=split, return_type="numpy3D")
        return Part(np.ascontiguousarray(values.transpose(0, 2, 1)), np.asarray(labels))

    return part("train"), part("test")


def integrated(paths: Any) -> Any:
    """Running integrals: the sensors measure rates, of velocity and of angle."""
    return np.cumsum(paths, axis=1) / RATE


def roots(signatures: Any, dimension: int, degree: int) -> Any:
    """Take the k-th root of level k, keeping signs.

    Level k of a signature grows with the k-th power of the path. Its roots grow like the path
    itself, so that a few strong recordings do not dwarf all others.
    """
    levels = np.repeat(np.arange(1, degree + 1), [dimension**k for k in range(1, degree + 1)])
    return np.sign(signatures) * np.abs(signatures) ** (1 / levels)


def timed(function: Callable[[], Any], repeats: int) -> tuple[Any, float]:
    """Call `repeats` times; return the result and the shortest time in seconds."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = function()
        seconds.append(time.perf_counter() - start)
    return result, min(seconds)


class Outcome(NamedTuple):
    """What a classifier makes of the recordings.

    Attributes
    ----------
    title : of its panel in the figure, without the accuracy
    scores : of all recordings, those to train on first, shape (batch, number)
    predicted : activities of the test recordings
    accuracy : on the test recordings
    """

    title: str
    scores: Any
    predicted: Any
    accuracy: float

    @classmethod
    def of(cls, title: str, model: Any, inputs: Any, labels: Any) -> Outcome:
        """Of a fitted classifier and its inputs, of which the last are those of `labels`."""
        unseen = inputs[-len(labels) :]
        scores = model.decision_function(inputs)
        return cls(title, scores, model.predict(unseen), model.score(unseen, labels))


def fit_features(features: Any, labels: Any) -> Any:
    """Fit a logistic regression on standardised features."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    return model.fit(features, labels)


def fit_kernel(grams: dict[float, Any], labels: Any) -> tuple[float, Any]:
    """Fit a support vector machine; choose bandwidth and penalty by cross-validation.

    Parameters
    ----------
    grams : Gram matrices of the training recordings by bandwidth
    labels : of these recordings
    """
    from sklearn.model_selection import GridSearchCV, StratifiedKFold
    from sklearn.svm import SVC

    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    machine = SVC(kernel="precomputed", decision_function_shape="ovo")
    fitted = {
        bandwidth: GridSearchCV(machine, {"C": _PENALTIES}, cv=folds).fit(gram, labels)
        for bandwidth, gram in grams.items()
    }
    best = max(fitted, key=lambda bandwidth: fitted[bandwidth].best_score_)
    return best, fitted[best].best_estimator_


def median_distance(paths: Any) -> float:
    """Median squared distance of points of two paths at one time."""
    return float(np.median(((paths[:, None] - paths) ** 2).sum(-1)))


def run(out: Path, degree: int, n_jobs: int, why_cpu: str) -> None:
    """Load, classify by features and by kernels, print and draw.

    Parameters
    ----------
    out : file of the figure
    degree : of the signatures
    n_jobs : threads of the CPU
    why_cpu : the reason why the CPU computes; "" lets a GPU do it
    """
    train, test = load()
    mean, std = train.paths.mean((0, 1)), train.paths.std((0, 1))
    standard = (np.concatenate([train.paths, test.paths]) - mean) / std
    paths = integrated(standard)
    count, length, dimension = paths.shape
    print(f"data        BasicMotions: {count} recordings, {dimension} channels, {length} points")
    print(f"            {len(train.labels)} to train on, {len(test.labels)} to test on")

    there: Any = paths
    back: Callable[[Any], Any] = np.asarray
    if why_cpu:
        print(f"device      CPU, {cpu.instruction_set()}, n_jobs={n_jobs}")
        print(f"            not a GPU: {why_cpu}")
    else:
        print("device      GPU, after a first call that compiles")
        there, back = cuda.upload(paths), cuda.download

    def signatures() -> Any:
        return back(sig(there, degree, time_aug=True, n_jobs=n_jobs))

    def gram(bandwidth: float) -> Any:
        kernel = RBFKernel(bandwidth)
        options: dict[str, Any] = {"time_aug": True, "normalize": True, "n_jobs": n_jobs}
        return back(sig_kernel_gram(there, there, 1, static_kernel=kernel, **options))

    labels = train.labels, test.labels
    median = median_distance(paths[: len(train.labels)])
    outcomes = by_features(signatures, dimension, degree, *labels), by_kernel(gram, median, *labels)
    draw(out, standard, *labels, outcomes)
    print(f"figure      {out}")


def by_features(
    signatures: Callable[[], Any], dimension: int, degree: int, train_labels: Any, test_labels: Any
) -> Outcome:
    """Classify by the coefficients of signatures, and print how that went."""
    signatures()
    rows, seconds = timed(signatures, _REPEATS)
    print(f"features    signatures to degree {degree}: {rows.shape[1]} numbers per recording")
    print(f"            {seconds * 1e3:.2f} ms: {len(rows) / seconds:,.0f} paths per second")
    features, known = roots(rows, dimension + 1, degree), len(train_labels)
    model, seconds = timed(lambda: fit_features(features[:known], train_labels), _FITS)
    outcome = Outcome.of(f"Signatures to degree {degree}", model, features, test_labels)
    print(f"classifier  logistic regression, fitted in {seconds * 1e3:.0f} ms")
    print(f"accuracy    {outcome.accuracy:.3f} on the test recordings, by features")
    return outcome


def by_kernel(
    gram: Callable[[float], Any], median: float, train_labels: Any, test_labels: Any
) -> Outcome:
    """Classify by signature kernels, and print how that went.

    Parameters
    ----------
    gram : the matrix of all recordings, for a bandwidth of the static kernel
    median : squared distance of points
    train_labels, test_labels : activities
    """
    known = len(train_labels)
    blocks = {factor * median: gram(factor * median)[:known, :known] for factor in _BANDWIDTHS}
    (bandwidth, model), fitting = timed(lambda: fit_kernel(blocks, train_labels), _FITS)
    matrix, seconds = timed(lambda: gram(bandwidth), _REPEATS)
    outcome = Outcome.of("Signature kernels", model, matrix[:, :known], test_labels)
    count = len(matrix)
    print(f"kernels     Gram matrix of {count} x {count} paths: {seconds * 1e3:.1f} ms")
    print(f"classifier  support vector machine, C={model.C:g}, RBFKernel({bandwidth:.3g})")
    print(f"            by cross-validation on the training recordings, {fitting * 1e3:.0f} ms")
    print(f"accuracy    {outcome.accuracy:.3f} on the test recordings, by kernels")
    return outcome


def draw(
    out: Path, paths: Any, train_labels: Any, test_labels: Any, outcomes: Sequence[Outcome]
) -> None:
    """Draw one recording of each activity, and all of them as each classifier sees them.

    Its scores are linear in the features, or in the kernels; drawn are their two principal
    components, found from the training recordings.
    """
    from matplotlib.figure import Figure

    names = np.unique(train_labels)
    figure = Figure(figsize=(15, 6), layout="constrained")
    left, right = figure.subfigures(1, 2, squeeze=False, width_ratios=(1, 1.5))[0]

    panels = left.subplots(2, 2, sharex=True)
    seconds = np.arange(paths.shape[1]) / RATE
    for axes, name, title_colour in zip(panels.flat, names, _CLASS_COLOURS, strict=True):
        for channel, colour in enumerate(_CHANNEL_COLOURS):
            path = paths[np.flatnonzero(train_labels == name)[0], :, channel]
            axes.plot(seconds, path, color=colour, linewidth=1, label=CHANNELS[channel])
        axes.set_title(name, color=title_colour, fontweight="bold")
        axes.spines[["top", "right"]].set_visible(False)
    for axes in panels[-1]:
        axes.set_xlabel("seconds")
    left.suptitle("One recording of each activity, in standard deviations")
    handles, labels = panels.flat[0].get_legend_handles_labels()
    left.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)

    panels = right.subplots(1, len(outcomes))
    for axes, outcome in zip(panels, outcomes, strict=True):
        _scatter(axes, outcome, train_labels, test_labels)
    panels[0].set_ylabel("second component")
    right.suptitle("All recordings, as the classifiers see them")
    handles, labels = panels[0].get_legend_handles_labels()
    right.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    with written_at_once(str(out), force=True) as file:
        figure.savefig(file, dpi=150, format=out.suffix.removeprefix("."))


def _scatter(axes: Any, outcome: Outcome, train_labels: Any, test_labels: Any) -> None:
    from sklearn.decomposition import PCA

    known = len(train_labels)
    points = PCA(2).fit(outcome.scores[:known]).transform(outcome.scores)
    for name, colour in zip(np.unique(train_labels), _CLASS_COLOURS, strict=True):
        seen, new = points[:known][train_labels == name], points[known:][test_labels == name]
        axes.scatter(*seen.T, color=colour, s=22, alpha=0.55, linewidths=0)
        axes.scatter(*new.T, color=colour, s=55, marker="x", label=name)
    wrong = points[known:][outcome.predicted != test_labels]
    axes.scatter([], [], color="grey", s=22, label="training")
    axes.scatter([], [], color="grey", s=55, marker="x", label="test")
    axes.scatter(*wrong.T, s=180, facecolors="none", edgecolors="black", label="misclassified")
    axes.set_title(f"{outcome.title}: test accuracy {outcome.accuracy:.3f}")
    axes.set_xlabel("first component of the classifier's scores")
    axes.spines[["top", "right"]].set_visible(False)
