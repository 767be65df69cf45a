"""embedstore suggest: samples to look at, each with its reason, and for each kind the command that says what to do."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from embedstore.visible import visible
from embedstore_cli import console
from embedstore_cli.version_option import VersionOption, asked_version

if TYPE_CHECKING:
    from embedstore import EmbeddingStore
    from embedstore.analysis.suggestions import Suggestion, Suggestions
    from embedstore.triage import Verdict

_TITLES = {
    "wrong-labels": "labels that are likely wrong",
    "torn-twins": "twins on two sides of the split",
    "hidden-modes": "modes without a prototype",
    "student": "samples that teacher and student see differently",
}
_OPTIONS = {"rare": "--rare", "dirt": "--dirt", "wrong-label": "--label", "twin": "--twin"}


def suggest(
    store: Annotated[Path, typer.Argument(help="The store.", show_default=False)],
    against: Annotated[
        str | None,
        typer.Option(
            help="Look for hidden modes in this saved summary; where not given, in 16 sub-prototypes a label of the training "
            "side, made for this and not saved.",
            show_default=False,
        ),
    ] = None,
    kind: Annotated[
        list[str] | None,
        typer.Option(
            help="Only this kind: wrong-labels, torn-twins, hidden-modes or student; may be given more than once.",
            show_default=False,
        ),
    ] = None,
    top: Annotated[int, typer.Option(help="How many of each kind, at most.")] = 50,
    run: Annotated[
        Path | None,
        typer.Option(
            help="A finished run: compare what its student says of held-out pictures with what the teacher sees.",
            show_default=False,
        ),
    ] = None,
    version: VersionOption = None,
    json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """List what deserves a look: wrong labels, twins across the split, hidden modes, and where teacher and student differ.

    Nothing is written. Each row tells its reason; below stands one command that says so of all: leave out what you do not agree
    with. Where a label is right, say that with: embedstore triage STORE --label ID=LABEL, with the label that it has.

    Example: embedstore suggest parts.store --kind wrong-labels --top 50
    """
    import embedstore
    from embedstore.analysis import suggestions
    from embedstore.store.embedding_store import refuse_unbuilt

    with embedstore.open(store, version=asked_version(version)) as opened:
        refuse_unbuilt(opened)
        student = None
        if run is not None:
            from embedstore_cli.run_scores import held_out_scores

            student = held_out_scores(run, opened)
        with console.progress("Looking", "kinds") as progress:
            found = suggestions.suggest(
                opened, against=against, kinds=kind or None, top=top, student=student, progress=progress
            )
        commands = {
            name: [command(one.verdicts, opened, store, found.version) for one in listed]
            for name, listed in found.by_kind.items()
        }
        sayable = commands if json else {name: [_shown(text) for text in texts] for name, texts in commands.items()}
        verdicts = {name: _united(zip(listed, sayable[name], strict=True)) for name, listed in found.by_kind.items()}
        of_kind = {name: command(said, opened, store, found.version) for name, said in verdicts.items()}
    if json:
        console.print_json(_facts(found, commands, of_kind))
        return
    told: set[str] = set()
    for name, listed in found.by_kind.items():
        if listed:
            rows = [[f"{one.score:.2f}", ", ".join(one.ids), one.reason.en] for one in listed]
            title = f"{name}: {_TITLES.get(name, name)} ({len(listed)})"
            console.table(title, ["score", "ids", "why"], rows, right=(0,))
            met = _met(verdicts[name])
            if met & told:
                console.say(
                    f"Both a command above and this one tell of '{min(met & told)}'; where you give that, give embedstore "
                    "suggest again before this one."
                )
            told |= met
            _print_commands(listed, commands[name], verdicts[name], of_kind[name])
            if name == "wrong-labels":
                console.say(
                    "To say that a label is right: embedstore triage STORE --label ID=LABEL, with the label that it has"
                )
        else:
            console.say(f"{name}: nothing was found.")
        console.say(*(remark.en for remark in found.remarks[name]), "")


def command(verdicts: Mapping[str, Verdict], opened: EmbeddingStore, store: Path, version: int) -> str | None:
    """Return the command that says what suggestions propose; None where they propose nothing, or no option can tell it.

    Where the samples have changed since that version, the command is refused.
    """
    words = []
    for sample_id, said in verdicts.items():
        text = sample_id if said.value is None else f"{sample_id}={said.value}"
        if said.value is not None and _ways(opened, said.kind, text) > 1:
            return None
        option = _OPTIONS[said.kind]
        words += [f"{option}={text}"] if text.startswith("-") else [option, text]
    place = f"./{store}" if str(store).startswith("-") else str(store)
    return shlex.join(["embedstore", "triage", place, *words, "--since", str(version)]) if words else None


def _ways(opened: EmbeddingStore, kind: str, text: str) -> int:
    """Return in how many ways triage may read ID=VALUE: ids can hold '=' too."""
    cuts = [at for at, letter in enumerate(text) if letter == "="]
    return sum(text[:at] in opened and (kind != "twin" or text[at + 1 :] in opened) for at in cuts)


def _shown(text: str | None) -> str | None:
    return None if text is None or visible(text) != text else text


def _united(said: Iterable[tuple[Suggestion, str | None]]) -> dict[str, Verdict]:
    """Return the verdicts of all that have a command, for a single one: each alone would refuse those that change its samples.

    A sample gets one verdict, the first.
    """
    united: dict[str, Verdict] = {}
    for one, text in said:
        if text is not None and all(united.get(name, verdict) == verdict for name, verdict in one.verdicts.items()):
            united |= one.verdicts
    return united


def _met(verdicts: Mapping[str, Verdict]) -> set[str]:
    """Return the samples that a command tells of, with the others of twins."""
    return {*verdicts, *(said.value for said in verdicts.values() if said.kind == "twin" and said.value)}


def _print_commands(
    listed: list[Suggestion], commands: list[str | None], united: Mapping[str, Verdict], of_kind: str | None
) -> None:
    """Print what says so of all, in one line to be copied, and why some are not in it."""
    if any(one.verdicts for one in listed):
        console.say("To say so, without what you do not agree with:", *([] if of_kind is None else [of_kind]))
    for one, text in zip(listed, commands, strict=True):
        if not one.verdicts or one.verdicts.items() <= united.items():
            continue
        if text is None:
            console.say(f"  for '{one.ids[0]}' in a file, with --from, since ids hold '=': see the verdicts in --json")
        elif _shown(text) is None:
            console.say(f"  for '{one.ids[0]}' use --json: its command holds letters that can't be shown")
        else:
            console.say(f"  for '{one.ids[0]}' give embedstore suggest again: the command has another verdict of it")


def _facts(
    found: Suggestions, commands: dict[str, list[str | None]], of_kind: dict[str, str | None]
) -> dict[str, object]:
    return {
        "version": found.version,
        "kinds": {
            name: {
                "suggestions": [
                    {
                        "ids": one.ids,
                        "score": one.score,
                        "reason": asdict(one.reason),
                        "verdicts": {sample_id: asdict(said) for sample_id, said in one.verdicts.items()},
                        "command": text,
                    }
                    for one, text in zip(listed, commands[name], strict=True)
                ],
                "command": of_kind[name],
                "remarks": [asdict(remark) for remark in found.remarks[name]],
            }
            for name, listed in found.by_kind.items()
        },
    }
