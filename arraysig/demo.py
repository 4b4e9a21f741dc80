"""The demonstration: tell four activities apart by the sensors of a smart watch.

Each recording is a path; its signature, a few hundred numbers, is all that a linear classifier
needs to tell the activities apart.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ._core import cpu, cuda
from .signature import sig

RATE = 10.0  #: points per second
CHANNELS = tuple(f"{sensor} {axis}" for sensor in ("acceleration", "rotation") for axis in "xyz")
_CHANNEL_COLOURS = ("#08519c", "#3182bd", "#9ecae1", "#a63603", "#e6550d", "#fdae6b")
_CLASS_COLOURS = ("#1b9e77", "#d95f02", "#7570b3", "#e7298a")
_REPEATS = 5


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


def run(out: Path, degree: int, n_jobs: int, why_cpu: str) -> None:
    """Load, compute features, fit, print and draw.

    Parameters
    ----------
    out : file of the figure
    degree : of the signatures
    n_jobs : threads of the CPU
    why_cpu : the reason why the CPU computes the signatures; "" lets a GPU do it
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    train, test = load()
    mean, std = train.paths.mean((0, 1)), train.paths.std((0, 1))
    standard = (np.concatenate([train.paths, test.paths]) - mean) / std
    paths = integrated(standard)
    count, length, dimension = paths.shape
    print(f"data        BasicMotions: {count} recordings, {dimension} channels, {length} points")
    print(f"            {len(train.labels)} to train on, {len(test.labels)} to test on")

    if why_cpu:
        where = f"CPU, {cpu.instruction_set()}, n_jobs={n_jobs}\n            not a GPU: {why_cpu}"

        def compute() -> Any:
            return sig(paths, degree, time_aug=True, n_jobs=n_jobs)
    else:
        where = "GPU, after a first call that compiles"
        uploaded = cuda.upload(paths)

        def compute() -> Any:
            return cuda.download(sig(uploaded, degree, time_aug=True))

    compute()
    signatures, seconds = timed(compute, _REPEATS)
    print(f"features    signatures to degree {degree}: {signatures.shape[1]} numbers per recording")
    print(f"            {seconds * 1e3:.2f} ms: {count / seconds:,.0f} paths per second")
    print(f"device      {where}")

    features = roots(signatures, dimension + 1, degree)
    known, unseen = np.split(features, [len(train.labels)])
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    _, seconds = timed(lambda: model.fit(known, train.labels), 1)
    accuracy = model.score(unseen, test.labels)
    print(f"classifier  logistic regression, fitted in {seconds * 1e3:.0f} ms")
    print(f"accuracy    {accuracy:.3f} on the test recordings")

    draw(out, standard, features, train.labels, test.labels, model, degree)
    print(f"figure      {out}")


def draw(
    out: Path,
    paths: Any,
    features: Any,
    train_labels: Any,
    test_labels: Any,
    model: Any,
    degree: int,
) -> None:
    """Draw one recording of each activity, and all of them as the classifier sees them.

    Its scores, one per activity, are linear in the features; drawn are their two principal
    components, found from the training recordings.
    """
    from matplotlib.figure import Figure
    from sklearn.decomposition import PCA

    names = model.classes_
    figure = Figure(figsize=(12, 6), layout="constrained")
    left, right = figure.subfigures(1, 2, squeeze=False, width_ratios=(1.05, 1))[0]

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
    left.suptitle("One recording of each activity, in standard deviations of each channel")
    handles, labels = panels.flat[0].get_legend_handles_labels()
    left.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)

    scores = model.decision_function(features)
    known = len(train_labels)
    points = PCA(2).fit(scores[:known]).transform(scores)
    axes = right.subplots()
    for name, colour in zip(names, _CLASS_COLOURS, strict=True):
        seen, new = points[:known][train_labels == name], points[known:][test_labels == name]
        axes.scatter(*seen.T, color=colour, s=22, alpha=0.55, linewidths=0)
        axes.scatter(*new.T, color=colour, s=55, marker="x", label=name)
    wrong = points[known:][model.predict(features[known:]) != test_labels]
    axes.scatter([], [], color="grey", s=22, label="training")
    axes.scatter([], [], color="grey", s=55, marker="x", label="test")
    if len(wrong):
        axes.scatter(*wrong.T, s=180, facecolors="none", edgecolors="black", label="misclassified")
    accuracy = model.score(features[known:], test_labels)
    axes.set_title(f"Signatures to degree {degree}: test accuracy {accuracy:.3f}")
    axes.set_xlabel("first component of the classifier's scores")
    axes.set_ylabel("second component")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(out, dpi=150)
