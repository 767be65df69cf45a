"""Task files: the settings of a run as a TOML file that a person reads, changes and keeps.

    good = "good"                # settings, one a line
    policy = "own"               # or a table [policy] with a line for each label

    [loss]
    alignment = "cosine"

    [policies.rare-samples]      # options of a policy
    share = 0.2

`distill.training.task_format` has all keys. Every run's directory holds such a file, from which the same run can be made.
"""

import os
import shlex
import tomllib
import unicodedata
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from distill.source import Source
from distill.targets import MIXTURE, POLICIES
from distill.targets.policy import fitting_policy
from distill.training.settings import Settings, is_code
from distill.training.task_format import LOSS, TOP, Key, format_task, key, near, quoted, shown
from embedstore.errors import EmbedstoreError, SettingsError
from embedstore.exports import SummaryFile
from embedstore.files import write_whole
from embedstore.visible import visible

TASK = "task.toml"  # its name in a run's directory, and where no other is given
_LARGEST = 1 << 20  # bytes; a policy for each of ten thousand labels fits
_BEYOND = 2**63  # the whole numbers of TOML end before it
_TABLES = ("policy", "loss", "policies")
_KINDS = {str: "a text in quotation marks", int: "a whole number", float: "a number"}


def read_task(
    path: str | os.PathLike[str],
    *,
    labels: Collection[str] | None = None,
    changes: Mapping[str, Any] | None = None,
    policy: str = Settings.policy,
    defaults: Settings | None = None,
) -> Settings:
    """Read a task file.

    Args:
        path: of the file.
        labels: those of the store, where it is known; the file may name no others.
        changes: settings that rule over the file's; another `policy` takes the place of a mixture, too.
        policy: the one where neither the file nor `changes` names any.
        defaults: what the file does not say, where it is not what `Settings` says; its policy, too, in place of `policy`.

    Raises:
        SettingsError: the file is missing or no TOML, or it says what can't be; the sentence names the file and the key.
    """
    changes = dict(changes or {})
    fields = _Reader(Path(path)).fields()
    if defaults is None:
        fields = {"policy": policy} | fields
    else:
        other = fields.get("policy", defaults.policy) != defaults.policy
        fields = defaults.to_dict() | ({"mixture": {}} if other else {}) | fields
    try:
        task = Settings(**fields)
        if labels is not None:
            task = _with_known_labels(task, labels, changes)
    except EmbedstoreError as error:
        raise SettingsError(f"'{path}' can't be used: {error}") from error
    if is_code(task.student) and changes.get("student") is None:  # code is never run because a file names it
        raise SettingsError(
            f"The task in '{path}' has the student '{task.student}', which would be imported and run; if you trust it, say so: "
            f"--student {task.student}"
        )
    if changes.get("policy", task.policy) != task.policy:
        changes["mixture"] = {}
    return replace(task, **changes)


def write_task(path: str | os.PathLike[str], text: str) -> None:
    """Write a task file, complete or not at all.

    Raises:
        SettingsError: the file is there already, or its directory is not.
    """
    target = Path(path)
    if os.path.lexists(target):
        raise SettingsError(f"'{target}' exists; choose another name for the task file, or remove it first.")
    if not target.parent.is_dir():
        raise SettingsError(f"The directory '{target.parent}' does not exist; make it first.")
    write_whole(target, text.encode())


def keep_task(run: Path, settings: Settings, source: Source, origin: Path | None = None) -> None:
    """Write the task of a run from a store or a summary file into its directory, where it is not there yet.

    `origin` is the run whose student it begins with.
    """
    if not (run / TASK).exists():
        given = "--summary FILE.safetensors --images DIR" if isinstance(source, SummaryFile) else "STORE"
        given += "" if origin is None else f" --from {visible(shlex.quote(str(origin)))}"  # no name ends the comment
        heading = [
            "The task of this run, with all that the command line said.",
            f"Train it again with: distill train {given} --task FILE --out NEW",
        ]
        write_whole(run / TASK, format_task(settings, heading=heading).encode())


def default_policy(source: Source) -> str:
    """Return the policy where nobody names one: `own` for a store; for an exported summary the one that fits it."""
    if not isinstance(source, SummaryFile):
        return Settings.policy
    return fitting_policy(source.kept.strategy)


class _Reader:
    """Takes a file apart, and says where in it something is wrong."""

    def __init__(self, path: Path):
        self._path = path

    def fields(self) -> dict[str, Any]:
        """Return the settings that the file gives."""
        fields: dict[str, Any] = {}
        for name, value in self._load().items():
            if name == "policy":
                fields |= self._policy(value)
            elif name == "policies":
                fields["options"] = {policy: self._options(policy, v) for policy, v in self._table(value, name).items()}
            elif name == "loss":
                fields |= self._known(self._table(value, name), LOSS, name)
            else:
                fields |= self._known({name: value}, TOP)
        return fields

    def _load(self) -> dict[str, Any]:
        path = self._path
        if not os.path.isfile(path):
            what = "is a directory, not a task file" if os.path.isdir(path) else "does not exist"
            raise SettingsError(f"'{path}' {what}; write a task file with: distill init STORE --out FILE")
        try:
            with path.open("rb") as file:
                data = file.read(_LARGEST + 1)
        except OSError as error:
            raise SettingsError(f"'{path}' can't be read: {error.strerror}; check its permissions.") from error
        if len(data) > _LARGEST:
            raise SettingsError(f"'{path}' has more than {_LARGEST} bytes, so it is no task file; name another.")
        try:
            return tomllib.loads(data.decode("utf-8-sig"))
        except UnicodeDecodeError as error:
            line = data[: error.start].count(b"\n") + 1
            raise SettingsError(
                f"'{path}' is not UTF-8 text (at line {line}); save it as UTF-8 in the editor."
            ) from error
        except RecursionError as error:
            raise SettingsError(f"'{path}' is no task file: its lists or tables are nested too deep.") from error
        except ValueError as error:  # TOMLDecodeError, or a number with thousands of digits
            raise SettingsError(
                f"'{path}' is no valid TOML: {str(error).rstrip('.')}; expected lines such as epochs = 30 or good = \"OK\"."
            ) from error

    def _refuse(self, place: str, value: Any, expected: str) -> NoReturn:
        raise SettingsError(f"In '{self._path}', {place} is {shown(value)}; expected {expected}.")

    def _table(self, value: Any, place: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            self._refuse(place, value, f"a table: a line [{place}], and its own lines below")
        return value

    def _checked(self, value: Any, kind: type, place: str) -> Any:
        """Return a value of one kind; true and false are no numbers, and a whole number is a number."""
        whole = isinstance(value, int) and not isinstance(value, bool) and abs(value) < _BEYOND
        if not (whole if kind is int else isinstance(value, kind) or (whole and kind is float)):
            self._refuse(place, value, _KINDS[kind])
        return value

    def _known(self, table: Mapping[str, Any], known: Mapping[str, Key], below: str = "") -> dict[str, Any]:
        for name in table.keys() - known.keys():
            self._refuse_key(name, [*known] if below else [*known, *_TABLES], below)
        return {
            known[name].setting: self._checked(value, known[name].kind, key(below, name) if below else key(name))
            for name, value in table.items()
        }

    def _refuse_key(self, name: str, known: Collection[str], below: str = "") -> NoReturn:
        where = f"In '{self._path}', the key {quoted(name)}"
        if below and name in (*TOP, *_TABLES):
            raise SettingsError(f"{where} stands below [{below}]; move it above the first line in square brackets.")
        if not below and name in LOSS:
            raise SettingsError(f"{where} stands alone; move it below a line [loss].")
        raise SettingsError(f"{where}{f' below [{below}]' if below else ''} is unknown; {near(name, known)}")

    def _policy(self, value: Any) -> dict[str, Any]:
        if isinstance(value, str) and value != MIXTURE:
            return {"policy": value}
        if not isinstance(value, dict):
            self._refuse("policy", value, "the name of a policy, or a table [policy] with a line for each label")
        return {"policy": MIXTURE, "mixture": {label: self._shares(label, shares) for label, shares in value.items()}}

    def _shares(self, label: str, shares: Any) -> dict[str, float]:
        if isinstance(shares, str) and shares in POLICIES:
            return {shares: 1.0}
        if not isinstance(shares, dict) and label in TOP.keys() - {"good"}:
            self._refuse_key(label, [], "policy")  # far more likely than a label of that name
        if isinstance(shares, str):
            return {shares: 1.0}
        if not isinstance(shares, dict):
            self._refuse(
                key("policy", label), shares, "the name of a policy, or weights such as { own = 0.5, none = 0.5 }"
            )
        for name, weight in shares.items():
            if isinstance(weight, dict | str):  # what a bare label with a dot or a blank becomes
                self._refuse(
                    key("policy", label, name),
                    weight,
                    "a number, the weight of a policy (a label with a dot in it stands in quotation marks)",
                )
        return {name: float(self._checked(w, float, key("policy", label, name))) for name, w in shares.items()}

    def _options(self, policy: str, chosen: Any) -> dict[str, Any]:
        known = [name for name in POLICIES if name != MIXTURE]
        if policy not in known:
            self._refuse_key(policy, known, "policies")
        below = key("policies", policy)
        for name, value in self._table(chosen, below).items():
            if name in (*TOP, *_TABLES):
                self._refuse_key(name, [], below)
            if isinstance(value, int) and abs(value) >= _BEYOND:
                self._refuse(key("policies", policy, name), value, _KINDS[float])
        return dict(chosen)  # which names and values a policy takes, `Settings` knows


def _with_known_labels(task: Settings, labels: Collection[str], changes: Mapping[str, Any]) -> Settings:
    """Return the settings with labels as the store writes them; refuse those that it does not have."""

    def known(label: str) -> str:
        stored = unicodedata.normalize("NFC", label)
        if label not in labels and stored not in labels:
            raise SettingsError(f"The store has no label {quoted(label)}; {near(label, sorted(labels))}")
        return label if label in labels else stored

    good = task.good if task.good is None or "good" in changes else known(task.good)
    if changes.get("policy", task.policy) != task.policy:
        return replace(task, good=good)
    return replace(task, good=good, mixture={known(label): shares for label, shares in task.mixture.items()})
