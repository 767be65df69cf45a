"""The parameters that a strategy or a policy takes, read off its signature: names, defaults, types."""

from collections.abc import Callable, Mapping
from inspect import signature
from typing import Any, get_args, get_type_hints

_IN_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}


def taken_by(function: Callable[..., Any]) -> dict[str, Any]:
    """Return a function's keyword-only parameters with their defaults."""
    parameters = signature(function).parameters.items()
    return {name: one.default for name, one in parameters if one.kind is one.KEYWORD_ONLY}


def wrong_type(function: Callable[..., Any], given: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return the first parameter whose value has a wrong type, with what is expected in words; None where all fit."""
    types = get_type_hints(function)
    for name, value in given.items():
        kinds = get_args(types[name]) or (types[name],)
        if not is_one_of(kinds, value):
            return name, " or ".join(_IN_WORDS[one] for one in kinds if one in _IN_WORDS)
    return None


def is_one_of(kinds: tuple[type, ...], value: object) -> bool:
    """Return whether a value is of one of some types; a whole number is a float too, and true is no number."""
    if isinstance(value, bool):
        return bool in kinds
    return isinstance(value, kinds) or (float in kinds and isinstance(value, int))
