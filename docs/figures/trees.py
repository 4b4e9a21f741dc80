"""Draw trees: ``python docs/figures/trees.py`` writes trees.svg.

Trees to four nodes with one label, their tuples, and their coefficients of a segment of length 1.
"""

import pathlib
from fractions import Fraction
from typing import Any

import numpy as np

import arraysig

ROW, STEP = 26, 22  # points: between levels of a tree, and between its leaves
ROOT, NODE = "#d94801", "#3182bd"


def place(tree: Any, left: float = 0, level: int = 0) -> tuple[list[tuple[float, int]], list]:
    """Nodes of a tree as (x, level), the root first, and edges as pairs of nodes; leaves from left.

    A node is above the middle of its children.
    """
    nodes: list[tuple[float, int]] = []
    edges: list = []
    middles = []
    for child in tree[:-1]:
        below, more = place(child, left, level + 1)
        middles.append(below[0])
        nodes += below
        edges += more
        left = max(x for x, _ in below) + 1
    x = (middles[0][0] + middles[-1][0]) / 2 if middles else left
    root = (x, level)
    return [root, *nodes], [*((root, middle) for middle in middles), *edges]


def draw(to: pathlib.Path) -> None:
    """Draw the trees in the order of the coefficients, the root at the bottom."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    plt.rcParams.update({"svg.hashsalt": "arraysig", "svg.fonttype": "none", "font.size": 9})
    fig = plt.figure(figsize=(7.6, 3.45))
    axes = fig.add_axes((0, 0, 1, 1), xlim=(0, 547), ylim=(-270, -21.6))
    axes.axis("off")
    trees = arraysig.trees(1, 4)[1:]
    values = arraysig.branched_sig(np.array([[0.0], [1.0]]), 4)
    rows = [list(zip(trees, values, strict=True))[part] for part in (slice(4), slice(4, 8))]
    columns = 70 + 136 * np.arange(4)
    for row, ground in zip(rows, (-88, -226), strict=True):
        for (tree, value), middle in zip(row, columns, strict=True):
            nodes, edges = place(tree)
            spread = (min(x for x, _ in nodes) + max(x for x, _ in nodes)) / 2

            def at(
                node: tuple[float, int], m: float = middle, g: float = ground, s: float = spread
            ):
                return m + STEP * (node[0] - s), g + ROW * node[1]

            for edge in edges:
                ends = np.array([at(node) for node in edge]).T
                axes.plot(*ends, color="0.6", linewidth=1.2, zorder=1)
            for i, node in enumerate(nodes):
                axes.scatter(*at(node), s=52, color=NODE if i else ROOT, zorder=2)
            axes.text(
                middle,
                ground - 18,
                str(tree),
                ha="center",
                va="center",
                family="monospace",
                fontsize=8,
            )
            fraction = Fraction(value).limit_denominator(100)
            axes.text(middle, ground - 34, str(fraction), ha="center", va="center")
    fig.savefig(to, metadata={"Date": None})


if __name__ == "__main__":
    draw(pathlib.Path(__file__).with_suffix(".svg"))
