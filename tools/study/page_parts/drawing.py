"""Parts of a picture as an SVG file of its own: for light and dark pages, drawn once for a wide page and once for a phone."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup

from embedstore.pages import Text
from embedstore.pages.svg import label, tag, text_width
from embedstore.pages.words import in_language

WIDE, NARROW = 880, 400  # units, which are pixels where the page has the room
EDGE = 20.0
TEXT, TITLE = 13.0, 17.0
COLOURS = 6
_NO_BREAK = "\u00a0"
_NEVER_FIRST = f"、。）」・％ー{_NO_BREAK}"
_STYLE = """
svg { --page: #ffffff; --ink: #1c2430; --faint: #5d6878; --rule: #e3e8ee;
  --c0: #0b63b6; --c1: #c2410c; --c2: #15803d; --c3: #7c3aed; --c4: #a16207; --c5: #be185d; }
@media (prefers-color-scheme: dark) {
  svg { --page: #12171e; --ink: #e6ebf2; --faint: #9aa7b8; --rule: #2a333f;
    --c0: #58a6f0; --c1: #fb923c; --c2: #4ade80; --c3: #b794f6; --c4: #eab308; --c5: #f472b6; }
}
.page { fill: var(--page); }
text { fill: var(--ink); font: 13px system-ui, "Segoe UI", "Hiragino Sans", "Noto Sans JP", sans-serif; }
.head { font-size: 17px; font-weight: 600; } .title, .strong { font-weight: 600; }
.faint { fill: var(--faint); font-size: 12px; } .number { font-variant-numeric: tabular-nums; }
.rule { stroke: var(--rule); } .zero { stroke: var(--faint); stroke-dasharray: 3 3; }
.halo { paint-order: stroke; stroke: var(--page); stroke-width: 4px; stroke-linejoin: round; }
.leader { stroke: var(--faint); stroke-width: 0.75; }
.line { fill: none; stroke-width: 2; stroke-linejoin: round; } .bar { stroke-width: 1.5; opacity: 0.55; }
.quiet { fill: none; stroke: var(--faint); stroke-width: 1.5; } .quiet-dot, .quiet-text { fill: var(--faint); }
.interval, .sure, .unsure { stroke: var(--c0); stroke-width: 2; }
.sure { fill: var(--c0); } .unsure { fill: var(--page); }
""" + "".join(f".s{at} {{ stroke: var(--c{at}); }} .f{at} {{ fill: var(--c{at}); }}\n" for at in range(COLOURS))


@dataclass(frozen=True)
class Picture:
    """A picture that can be drawn in each language and width.

    Attributes:
        name: of its files.
        title: the finding.
        under: what is shown, smaller.
        says: its figures in words, for those who can't see it.
        draw: (language, width, top) -> what is drawn below the titles, and where it ends.
    """

    name: str
    title: Text
    under: Text
    says: Text
    draw: Callable[[str, int, float], tuple[Markup, float]]

    def svg(self, language: str, width: int) -> str:
        """Return the file."""
        title, under = in_language(self.title, language), in_language(self.under, language)
        head, top = Markup(""), 12.0
        for text, text_size, step, kind in ((title, 1.1 * TITLE, 22.0, "head"), (under, 12.0, 17.0, "faint")):
            top += 2
            for line in wrapped(text, width - 2 * EDGE, text_size):
                top += step
                head += label(EDGE, top, line, class_=kind)
        drawn, bottom = self.draw(language, width, top + 14)
        height = math.ceil(bottom + 14)
        return str(
            tag(
                "svg", tag("title", title), tag("desc", under), tag("style", Markup(_STYLE)),  # noqa: S704  # our own
                tag("rect", width=width, height=height, rx=8, class_="page"), head, drawn,
                xmlns="http://www.w3.org/2000/svg", role="img", viewBox=f"0 0 {width} {height}", width=width, height=height,
            )
        ) + "\n"  # fmt: skip


def wrapped(text: str, width: float, text_size: float) -> list[str]:
    """Cut a text into lines that fit: between words, and anywhere between letters of a script without spaces."""
    pieces = _pieces(text.replace(" %", f"{_NO_BREAK}%"))
    lines = [""]
    for piece in pieces:
        if lines[-1] and text_width((lines[-1] + piece).rstrip(), text_size) > width:
            lines.append("")
            piece = piece.lstrip()  # noqa: PLW2901  no space begins a line
        lines[-1] += piece
    return [line.rstrip() for line in lines]


def _pieces(text: str) -> list[str]:
    """Return what is never cut: words, and letters with what may not begin a line, a full stop, say."""
    pieces: list[str] = []
    for letter in text:
        before = pieces[-1][-1] if pieces else " "
        in_word = letter.isascii() and before.isascii() and before != " "
        joins = bool(pieces) and (in_word or letter in _NEVER_FIRST or before == _NO_BREAK)
        if joins:
            pieces[-1] += letter
        else:
            pieces.append(letter)
    return pieces


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Move positions apart until none is nearer than `gap` to another, as little as that takes, all inside low..high."""
    order = sorted(range(len(wanted)), key=lambda at: wanted[at])
    placed = list(wanted)
    for _ in range(200):
        moved = False
        for above, below in pairwise(order):
            short = gap - (placed[below] - placed[above])
            if short > 1e-6:
                placed[above] -= short / 2
                placed[below] += short / 2
                moved = True
        for at in order:
            placed[at] = min(max(placed[at], low), high)
        if not moved:
            break
    return placed
