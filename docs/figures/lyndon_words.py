"""Draw Lyndon words: ``python docs/figures/lyndon_words.py`` writes lyndon_words.svg.

Words of two letters to length 5, with their brackets, joined to their factors u and v.
"""

import pathlib

import arraysig

# Where the middle of each word is: columns; only one pair of lines crosses.
COLUMNS = {
    "0": 1.35,
    "1": 2.25,
    "01": 1.8,
    "001": 0.5,
    "011": 3.5,
    "0001": 0.0,
    "0011": 2.0,
    "0111": 4.5,
    "00001": 0.0,
    "00101": 1.0,
    "00011": 2.0,
    "01011": 3.0,
    "00111": 4.0,
    "01111": 5.0,
}
COLUMN, ROW, LEFT, TILE = 77, 62, 78, 11  # points
COLOURS = {"u": "#3182bd", "v": "#d94801", "": "#636363"}


def factors(word: str) -> tuple[str, str]:
    """Split a Lyndon word; v is the longest of its proper suffixes that is one."""
    cut = next(i for i in range(1, len(word)) if arraysig.is_lyndon(tuple(map(int, word[i:]))))
    return word[:cut], word[cut:]


def centre(word: str) -> tuple[float, float]:
    """Middle of a word, in points."""
    return LEFT + COLUMN * COLUMNS[word], -ROW * len(word)


def tile(word: str, index: float) -> tuple[float, float]:
    """Middle of the letter `index` of a word."""
    x, y = centre(word)
    return x + TILE * (index - (len(word) - 1) / 2), y


def draw(to: pathlib.Path) -> None:
    """Draw the words by length, and lines from their factors."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt
    from matplotlib.patches import FancyBboxPatch

    plt.rcParams.update({"svg.hashsalt": "arraysig", "svg.fonttype": "none", "font.size": 9})
    fig = plt.figure(figsize=(7, 4.2))
    axes = fig.add_axes((0, 0, 1, 1), xlim=(0, 504), ylim=(-302.4 - 39, -39))
    axes.axis("off")

    def letter_at(x: float, y: float, letter: str, colour: str) -> None:
        corner, size = (x - TILE / 2 + 0.5, y - 7), (TILE - 1, 14)
        shape = "round,pad=0,rounding_size=2"
        axes.add_patch(FancyBboxPatch(corner, *size, shape, facecolor=colour, linewidth=0))
        style = {"ha": "center", "va": "center_baseline", "color": "white", "weight": "bold"}
        axes.text(x, y, letter, **style)

    words = ["".join(map(str, word)) for word in arraysig.lyndon_words(2, 5)]
    brackets = arraysig.log_sig_basis(2, 5, method=2)
    for word, bracket in zip(words, brackets, strict=True):
        u, v = factors(word) if len(word) > 1 else ("", "")
        x, y = centre(word)
        for i, letter in enumerate(word):
            colour = COLOURS["" if not u else "u" if i < len(u) else "v"]
            letter_at(*tile(word, i), letter, colour)
        if u:
            axes.text(x, y - 11, bracket, ha="center", va="top", fontsize=8)
        parts = {"u": (u, (len(u) - 1) / 2), "v": (v, len(u) + (len(v) - 1) / 2)}
        for name, (factor, index) in parts.items():
            if len(factor) > 1 or word == "01":
                start, end = centre(factor), tile(word, index)
                below = 24 if len(factor) > 1 else 9
                axes.plot(
                    (start[0], end[0]), (start[1] - below, end[1] + 8), color=COLOURS[name], lw=1
                )
    for length in range(1, 6):
        count = sum(len(word) == length for word in words)
        text = f"length {length}\n{count} word" + "s" * (count > 1)
        axes.text(8, -ROW * length, text, va="center", color=COLOURS[""], fontsize=8)
    meanings = {"u": "the rest in front of it", "v": "longest proper suffix that is a Lyndon word"}
    for y, name in ((-ROW - 9, "u"), (-ROW + 9, "v")):
        letter_at(300, y, name, COLOURS[name])
        axes.text(310, y, meanings[name], va="center", fontsize=8)
    fig.savefig(to, metadata={"Date": None})


if __name__ == "__main__":
    draw(pathlib.Path(__file__).with_suffix(".svg"))
