"""Text that is safe to print: names may hold what a terminal obeys, or what turns a line around."""

from unicodedata import category

# Control, format (direction marks, zero width) and surrogate characters, and separators of lines and paragraphs.
_UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def visible(text: str) -> str:
    r"""Return a text in which each character that can't be seen is spelt out as in Python, such as `\x1b` or `\u202e`."""
    return "".join(one.encode("unicode_escape").decode() if category(one) in _UNSEEN else one for one in text)
