"""The parts of every HTML page: text in two languages, key figures, tables, charts and pictures in one file.

Each part is a function from data to markup, and everything that is given to it is escaped. `render_page` puts parts into
a document that needs no network.
"""

from embedstore.pages.curves import Series, line_chart
from embedstore.pages.gallery import OddSample, Picture, card, legend, odd_samples, picture, picture_row, thumbnail
from embedstore.pages.histogram import Mark, histogram
from embedstore.pages.intervals import Interval, interval_chart
from embedstore.pages.page import (
    bullets,
    callout,
    fold,
    key_figure,
    key_figures,
    paragraph,
    render_page,
    section,
)
from embedstore.pages.shares import Share, share_chart
from embedstore.pages.tables import Cell, Column, table
from embedstore.pages.words import Text, Words, number, percent, points

__all__ = [
    "Cell",
    "Column",
    "Interval",
    "Mark",
    "OddSample",
    "Picture",
    "Series",
    "Share",
    "Text",
    "Words",
    "bullets",
    "callout",
    "card",
    "fold",
    "histogram",
    "interval_chart",
    "key_figure",
    "key_figures",
    "legend",
    "line_chart",
    "number",
    "odd_samples",
    "paragraph",
    "percent",
    "picture",
    "picture_row",
    "points",
    "render_page",
    "section",
    "share_chart",
    "table",
    "thumbnail",
]
