"""The templates of this package, rendered with everything escaped that is not markup of our own."""

import re
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup


@cache
def environment() -> Environment:
    """Return the Jinja environment over `embedstore/pages/templates`, with autoescape on."""
    made = Environment(
        loader=PackageLoader("embedstore.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["breakable"] = breakable
    return made


def breakable(name: str) -> Markup:
    """Let a long file name go on in the next line after `/`, `_` and `-`."""
    return Markup("<wbr>").join(re.split(r"(?<=[/_-])(?=[^/_-])", name))


def part(macro: str, /, **context: Any) -> Markup:
    """Render a macro of `parts.html`."""
    return Markup(getattr(environment().get_template("parts.html").module, macro)(**context))  # noqa: S704  escaped inside


def asset(name: str) -> str:
    """Return the text of a style sheet or script of the package."""
    return (files("embedstore.pages") / "templates" / name).read_text("utf-8")
