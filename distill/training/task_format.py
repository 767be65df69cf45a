"""The format of a task file: its keys, and how values, labels and comments are written in TOML."""

import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from distill.targets import MIXTURE
from distill.training.settings import ANSWERS, PRECISIONS, Settings
from embedstore.errors import SettingsError

_COMMENTS_AT = 24  # the column where comments stand, if the line before them is short enough
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


@dataclass(frozen=True)
class Key:
    """A line of a task file.

    Attributes:
        setting: the attribute of `Settings`.
        kind: str, int or float.
        says: what the line is for, in a few words.
        example: a value, for a line that may be left out.
        left_out: what happens then.
    """

    setting: str
    kind: type
    says: str
    example: str | int | None = None
    left_out: str = ""


MAIN = {
    "good": Key(
        "good", str, "label of the good parts", "good", "label of the good parts; without it: recall of each label"
    ),
    "student": Key("student", str, '"small", "medium", the name of a timm model, or "trunk:TEACHER:STAGES"'),
    "size": Key("size", int, "side of the student's input, in pixels"),
    "views": Key("views", int, "stored augmented views to use", 2, "stored augmented views to use; without it: all"),
    "epochs": Key("epochs", int, "passes over the training pictures"),
    "overkill": Key("overkill", float, "share of good parts that may be rejected; the threshold is chosen for it"),
}
SELDOM = {
    "seed": Key("seed", int, "of weights, order and views"),
    "folds": Key("folds", int, "deal the parts into so many folds", 5, "folds to deal; without it: the store's split"),
    "fold": Key("fold", int, "which of the folds is tested, counted from 0"),
    "val_fold": Key("val_fold", int, "which validates", 1, "which of the folds validates; without it: the next one"),
    "pretrain_epochs": Key("pretrain_epochs", int, "epochs before these, of the targets alone"),
    "ce_views": Key("ce_views", str, "what teaches labels: all views, or whole pictures"),
    "crops": Key("crops", str, "stored views, or fresh ones at each pass"),
    "balance": Key("balance", float, "how evenly labels are drawn: 0 as they are, 1 all alike"),
    "batch": Key("batch", int, "pictures in a step"),
    "learning_rate": Key("learning_rate", float, "the highest"),
    "schedule": Key("schedule", str, "of the learning rate: cosine or constant"),
    "weight_decay": Key("weight_decay", float, "of the optimiser AdamW"),
    "ema": Key("ema", float, "decay of a moving average of the weights; 0 for none"),
    "keep": Key("keep", str, "last, or best on the validation side"),
    "answer": Key("answer", str, f"who is asked in the end: {', '.join(ANSWERS)}"),
    "patches": Key("patches", str, "TEACHER:STAGES in whose maps the answer patches looks"),
    "precision": Key("precision", str, f"what the student computes in while it learns: {', '.join(PRECISIONS)}"),
}
TOP = MAIN | SELDOM
LOSS = {
    "alignment": Key("loss", str, "how student and target are compared: cosine, mse, l1 or contrastive"),
    "lambda": Key("weight", float, "weight of that, beside the labels"),
    "temperature": Key("temperature", float, "of the contrastive ones only"),
    "projection": Key("projection", str, "the learned map: on the side of student or teacher"),
    "logit_adjustment": Key("logit_adjustment", float, "tau, so that rare labels are not answered too seldom"),
}


def format_task(
    settings: Settings,
    *,
    heading: Sequence[str] = (),
    of_policy: Sequence[str] = (),
    ending: Sequence[str] = (),
) -> str:
    """Return the text of a task file, from which the same settings can be read.

    An option that is None is left out, since that is what None means there.

    Args:
        settings: what to write.
        heading: comments at the top.
        of_policy: comments before the policy.
        ending: comments at the end.

    Raises:
        SettingsError: a text is not Unicode, or an option is no text, number, true or false.
    """
    policy = ["[policy]", *(f"{key(label)} = {_shares(shares)}" for label, shares in settings.mixture.items())]
    single = [f"policy = {written(settings.policy)}"]
    mixed = settings.policy == MIXTURE
    blocks = [
        [f"# {line}" for line in heading],
        _lines(MAIN, settings),
        [] if mixed else [*(f"# {line}" for line in of_policy), *single],
        ["# Seldom changed", *_lines(SELDOM, settings)],
        ["[loss]", *_lines(LOSS, settings)],
        [*(f"# {line}" for line in of_policy), *policy] if mixed else [],
        *(_options(name, chosen) for name, chosen in settings.options.items()),
        [f"# {line}" for line in ending],
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def written(value: Any) -> str:
    """Return a text, number or truth as TOML.

    Raises:
        SettingsError: it is something else, or a text that is not Unicode.
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, float):
        return repr(float(value))
    if not isinstance(value, str) or any(unicodedata.category(letter) == "Cs" for letter in value):
        raise SettingsError(f"A task file can't hold {value!r}; expected a text in Unicode, a number, true or false.")
    return quoted(value)


def quoted(text: str) -> str:
    """Return a text as TOML writes it; what is invisible, or would end the line or turn it around, is escaped."""
    return '"' + "".join(_ESCAPES.get(letter) or _visible(letter) for letter in text) + '"'


def key(*names: str) -> str:
    """Return a key as TOML writes it: bare where that is allowed, else in quotation marks."""
    return ".".join(name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else written(name) for name in names)


def shown(value: Any) -> str:
    """Return any value of a TOML file in a few words, for an error."""
    if isinstance(value, dict | list):
        return "a table" if isinstance(value, dict) else "a list"
    if isinstance(value, str):
        return quoted(value if len(value) <= 60 else value[:60] + "…")
    if isinstance(value, int) and abs(value) >= 2**63:
        return "a number of more than 64 bits"
    return written(value) if isinstance(value, bool | int | float) else f"a date or time, {value}"


def near(name: str, known: Collection[str]) -> str:
    """Return what a person may have meant by an unknown name, or else the known ones, as the end of a sentence."""
    close = get_close_matches(name, known, 1)
    if close:
        return f"did you mean {quoted(close[0])}?"
    some = list(known)[:12]
    more = f" and {len(known) - len(some)} more" if len(known) > len(some) else ""
    return f"expected one of {', '.join(map(quoted, some))}{more}."


def _visible(letter: str) -> str:
    if letter.isprintable() or unicodedata.category(letter) == "Zs":
        return letter
    return f"\\u{ord(letter):04x}" if ord(letter) < 0x10000 else f"\\U{ord(letter):08x}"


def _lines(keys: Mapping[str, Key], settings: Settings) -> list[str]:
    lines = []
    for name, one in keys.items():
        value = getattr(settings, one.setting)
        if value is None:
            lines.append(_commented(f"# {name} = {written(one.example)}", one.left_out))
        else:
            lines.append(_commented(f"{name} = {written(float(value) if one.kind is float else value)}", one.says))
    return lines


def _commented(line: str, comment: str) -> str:
    return f"{line:<{_COMMENTS_AT}} # {comment}"


def _shares(shares: Mapping[str, float]) -> str:
    if list(shares.values()) == [1]:
        return written(next(iter(shares)))
    return "{ " + ", ".join(f"{key(name)} = {written(float(weight))}" for name, weight in shares.items()) + " }"


def _options(policy: str, chosen: Mapping[str, Any]) -> list[str]:
    given = [f"{key(name)} = {written(value)}" for name, value in chosen.items() if value is not None]
    return [f"[policies.{key(policy)}]", *given]
