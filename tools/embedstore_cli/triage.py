"""embedstore triage: what a person says of samples, written into the store."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from embedstore_cli import console

if TYPE_CHECKING:
    from embedstore import EmbeddingStore
    from embedstore.triage import Change, Verdict


def triage(
    store: Annotated[Path, typer.Argument(help="The store.", show_default=False)],
    rare: Annotated[
        list[str] | None,
        typer.Option(metavar="ID", help="Rare and real: rare-samples keeps it as a prototype.", show_default=False),
    ] = None,
    dirt: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ID",
            help="Dirt, or a bad picture: it is set aside, and nothing learns from it.",
            show_default=False,
        ),
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ID=LABEL",
            help="Its label is wrong, and this is the right one; or it is right, where this is the label that it has.",
            show_default=False,
        ),
    ] = None,
    twin: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ID=OTHER", help="It shows the same part as another: their groups are united.", show_default=False
        ),
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option(
            "--from",
            help="CSV with the columns id (or path), verdict (rare, wrong-label, dirt or twin) and value (the new label, the "
            "other's id). Rows without both are passed over. - reads it from the standard input.",
        ),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="N|TAG",
            help="The version that you looked at, its number or tag: write nothing where one of these samples has changed since.",
            show_default=False,
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what would change, and change nothing.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Say of samples that they are rare, dirt, wrongly labelled or twins: all or none, as one version.

    Each of the four options may be given again for more samples. Later builds keep what was said; embedstore undo takes it
    back. The next summary follows it.

    Example: embedstore triage parts.store --rare defect/3.png --label good/8.png=defect
    """
    import embedstore
    from embedstore import triage as triaging
    from embedstore.errors import SettingsError
    from embedstore_cli.change import Generation, new_labels, way_back
    from embedstore_cli.version_option import number_in

    with embedstore.open(store) as opened:
        seen = None if since is None else number_in(opened, since)
        given = [(one, triaging.Verdict("rare")) for one in rare or ()]
        given += [(one, triaging.Verdict("dirt")) for one in dirt or ()]
        for kind, pairs in (("wrong-label", label), ("twin", twin)):
            given += [_pair(opened, kind, text) for text in pairs or ()]
        passed_over = 0
        if source is not None:
            rows = _rows(source)
            given += [(one, said) for one, said in rows if said is not None]
            passed_over = sum(said is None for _, said in rows)
        if not given:
            raise SettingsError(
                "No verdicts were given; give --rare, --dirt, --label or --twin with ids, or --from FILE.csv."
            )
        verdicts = _one_each(given)
        before, labels = Generation.of(opened), opened.counts("label")
        change = (triaging.plan_triage if dry_run else triaging.triage)(opened, verdicts, since=seen)
        counts = dict(Counter(said.kind for said in verdicts.values()))
        torn, compacted = remarks_on_torn(opened, change), before.compacted(opened)
    if json:
        console.print_json(
            {
                "version": change.version,
                "verdicts": counts,
                "changed": change.samples,
                "fields": change.fields,
                "dry_run": dry_run,
            }
        )
        return
    told = ", ".join(f"{number} {kind}" for kind, number in counts.items())
    console.say(f"{console.count(len(verdicts), 'verdict', 'verdicts')} ({told}): {outcome(change, dry_run=dry_run)}.")
    if passed_over:
        console.say(f"{console.count(passed_over, 'row', 'rows')} of '{source}' without a verdict passed over.")
    console.say(*new_labels((after for _, after in change.fields.get("label", {}).values()), labels), *torn)
    if change.version is not None:
        console.say(way_back(store, change.version))
    console.say(*compacted)


def outcome(change: Change, *, dry_run: bool) -> str:
    """Return what changed, or would, field by field."""
    if not change.fields:
        return (
            "all of it is so already, so nothing changes" if dry_run else "all of it was so already, so nothing changed"
        )
    told = ", ".join(f"the {name} of {len(texts)}" for name, texts in change.fields.items())
    samples = console.count(change.samples, "sample", "samples")
    return (
        f"{told} ({samples} in all) would change; nothing was written"
        if dry_run
        else f"{told} ({samples} in all) changed"
    )


def _pair(store: EmbeddingStore, kind: str, text: str) -> tuple[str, Verdict]:
    """Return id and verdict from `ID=VALUE`; ids and labels may hold '=' too, so the id is what the store has as one."""
    from embedstore.errors import SettingsError
    from embedstore.triage import Verdict

    option = "--twin" if kind == "twin" else "--label"
    cuts = [at for at, letter in enumerate(text) if letter == "="]
    if not cuts:
        raise SettingsError(f"{option} '{text}' has no '='; give the id, then =, then the value.")
    fits = [at for at in cuts if text[:at] in store and (kind != "twin" or text[at + 1 :] in store)]
    if len(fits) > 1:
        raise SettingsError(
            f"{option} '{text}' can be read in {len(fits)} ways, for ids hold '=' too; give it in a file, with --from."
        )
    at = (fits or cuts)[0]
    return text[:at], Verdict(kind, text[at + 1 :])


def _rows(source: Path) -> list[tuple[str, Verdict | None]]:
    """Return id and verdict of each row of a file; None where verdict and value are empty."""
    from embedstore.errors import SettingsError
    from embedstore.triage import VERDICT, Verdict
    from embedstore_cli.id_file import read_columns

    ids, cells = read_columns(source, (VERDICT, "value"))
    if VERDICT not in cells:
        raise SettingsError(
            f"'{source}' has no column '{VERDICT}' in its first row; add one, with a verdict for each id."
        )
    kinds = [text.strip() for text in cells[VERDICT]]
    values = [text if text.strip() else None for text in cells.get("value", [""] * len(ids))]
    for one, kind, value in zip(ids, kinds, values, strict=True):
        if value and not kind:
            raise SettingsError(
                f"'{source}' gives '{one}' the value '{value}' without a verdict; add it, or empty both."
            )
    return [(one, Verdict(kind, value) if kind else None) for one, kind, value in zip(ids, kinds, values, strict=True)]


def _one_each(given: list[tuple[str, Verdict]]) -> dict[str, Verdict]:
    from embedstore.errors import SettingsError
    from embedstore.store.fields import as_stored

    def shown(said: Verdict) -> str:
        return f"'{said.kind}'" if said.value is None else f"'{said.kind}' ('{said.value}')"

    verdicts: dict[str, Verdict] = {}
    for one, said in ((as_stored(one), said) for one, said in given):
        if verdicts.setdefault(one, said) != said:
            raise SettingsError(
                f"The id '{one}' is given both {shown(verdicts[one])} and {shown(said)}; leave one of them."
            )
    return verdicts


def remarks_on_torn(store: EmbeddingStore, change: Change) -> list[str]:
    """Return a sentence where samples that got another group or side are in groups that the split tears now."""
    from embedstore.analysis.leaks import find_leaks

    moved = {one for one, (_, side) in change.fields.get("split", {}).items() if side not in (None, "aside")}
    moved |= change.fields.get("group", {}).keys()
    if change.version is None or not moved:
        return []
    groups = {group for one, group in zip(store.ids, store.field("group"), strict=True) if one in moved}
    torn = [group for group in find_leaks(store, []).torn_groups if group in groups]
    if not torn:
        return []
    what = f"The group '{torn[0]}' is" if len(torn) == 1 else f"{len(torn)} groups, such as '{torn[0]}', are"
    return [
        f"{what} on several sides of the split now, so figures look better than they are; deal anew with: embedstore split "
        f"'{store.path}'"
    ]
