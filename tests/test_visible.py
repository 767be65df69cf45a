"""Names that are printed can be read, and command no terminal."""

import unicodedata

import pytest

from embedstore.visible import visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("傷 (浅い) é [red] </b>　✓", "傷 (浅い) é [red] </b>　✓"),
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("two\nlines\tand\r", "two\\nlines\\tand\\r"),
        ("\u202egnp.jpg\u2069", "\\u202egnp.jpg\\u2069"),
        ("in\u200bvisible\ufeff", "in\\u200bvisible\\ufeff"),
        ("line\u2028paragraph\u2029", "line\\u2028paragraph\\u2029"),
        ("\x9b31m", "\\x9b31m"),  # a control sequence may start with one byte, too
        ("name\udce9.png", "name\\udce9.png"),  # not UTF-8 on disk
        ("\U000e0041", "\\U000e0041"),
    ],
)
def test_what_can_not_be_seen_is_spelt_out(text: str, shown: str) -> None:
    assert visible(text) == shown
    assert visible(shown) == shown


def test_no_character_is_left_that_a_terminal_obeys() -> None:
    every = "".join(map(chr, range(0x110000)))
    shown = visible(every)
    assert {unicodedata.category(one) for one in shown}.isdisjoint({"Cc", "Cf", "Cs", "Zl", "Zp"})
    shown.encode("utf-8")
    assert len(shown.splitlines()) == 1
