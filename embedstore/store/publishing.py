"""Publishing: what an embedding pass brought, with what the source says of it, made visible as one version."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from embedstore.errors import ImagesError
from embedstore.images import Listing, leaves
from embedstore.pictures import content_hash
from embedstore.store.build_report import BuildReport
from embedstore.store.compaction import compact_if_wasteful
from embedstore.store.embedding_pass import EmbeddingPass
from embedstore.store.embedding_store import EmbeddingStore
from embedstore.store.fields import Record
from embedstore.store.identities import identify
from embedstore.store.layout import Column
from embedstore.store.merging import merge
from embedstore.store.tables import Tables
from embedstore.store.writing import Writer, next_head


def publish(
    store: EmbeddingStore,
    session: Writer,
    listing: Listing,
    embedding: EmbeddingPass,
    *,
    action: str,
    whole: bool = False,
    prune: bool = False,
    label: str | None = None,
    sides: Mapping[str, str] | None = None,
    notes: Mapping[str, int] | None = None,
    also: Callable[[Tables], None] | None = None,
    compact: bool = True,
) -> BuildReport:
    """Make what was embedded visible as one version, compact where that pays, and tell what changed.

    Args:
        store: to be changed, and read anew at the end.
        session: the writer.
        listing: what was to be embedded.
        embedding: the pass that did it.
        action: what to call it in the log.
        whole: the listing is all that there is: what is not in it is gone, and rows that wait for it are swept.
        prune: remove samples that are gone; those whose file has another name now leave in any case.
        label: given by hand to all samples of the listing, in place of what it says.
        sides: id -> side of the split, of samples that have none otherwise.
        notes: for the log, beside how much changed.
        also: see `Writer.publish`.
        compact: False where the session goes on: after a compaction it would write what nobody reads.

    Raises:
        ImagesError: the listing is not all that there is, and can't tell what became of a known picture; nothing is published.
    """
    known, done = embedding.known, embedding.done
    listed = {sample.id: sample for sample in listing.samples}
    born = [row for sample_id, (row, _) in done.items() if sample_id not in known or known[sample_id].row != row]
    replaced = [
        known[sample_id].row
        for sample_id, (row, _) in done.items()
        if sample_id in known and known[sample_id].row != row
    ]
    contents = {sample_id: content for sample_id, (_, content) in done.items()}
    unlisted = [sample_id for sample_id in known if sample_id not in listed]
    gone = set(unlisted) if whole else _without_file(store.path, listing.root, unlisted, known, contents)
    gone -= {sample_id for sample_id in unlisted if known[sample_id].uri in embedding.aside}
    who = identify(store, known, embedding.lost, contents, gone)
    came = _came(known, contents)
    if not whole and (halves := [one for one in who.overwritten if known[one].content not in came]):
        raise _one_half(store.path, halves[0], known, contents)
    records = []
    for sample_id, (row, content) in done.items():
        after = merge(who.before.get(sample_id), listed[sample_id], row, content)
        after.label = label or after.label
        if after != known.get(sample_id):
            records.append(after)
    after_of = {after.id: after for after in records}
    new = sum(sample_id not in known for sample_id in done)
    updated = len(records) - new - len(replaced)
    pruned = [sample_id for sample_id in unlisted if (whole and prune) or sample_id in who.elsewhere]
    given = {
        one: replace(record, split=side)
        for one, side in (sides or {}).items()
        if one not in pruned and (record := after_of.get(one) or known.get(one)) is not None
    }
    records = list((after_of | given).values())
    head = replace(store.head, columns=_complete_columns(embedding, set(pruned)))
    if records or born or pruned:
        head = next_head(head)
    stale = embedding.staged_rows if whole else embedding.staged_rows_of(done)
    swept = stale - set(born)  # of an interrupted build, and no part of this one
    aside_before = {entry["path"]: entry["reason"] for entry in store.set_aside}
    usable = {listed[sample_id].uri for sample_id in done}
    others = {} if whole else {path: reason for path, reason in aside_before.items() if path not in usable}
    aside = others | embedding.aside
    if head != store.head or swept or aside != aside_before:
        details = {"new": new, "changed": len(replaced), "removed": len(pruned)}
        details |= {"updated": updated, "given a side": len(given), "verdicts dropped": len(who.verdicts_dropped)}
        session.publish(
            head,
            action,
            details={name: count for name, count in details.items() if count} | dict(notes or {}),
            records=records,
            born=born,
            died=replaced + [known[sample_id].row for sample_id in pruned],
            swept=swept,
            aside=aside,
            found=[sample_id for sample_id in embedding.lost if sample_id in done],
            also=also,
        )
    image_root = str(listing.root.resolve())
    if image_root != store.settings["image_root"]:
        session.write(lambda tables: tables.put_settings({**tables.settings(), "image_root": image_root}))
    if compact:
        compact_if_wasteful(store.path, session)
    store.refresh()
    return BuildReport(
        version=head.version,
        samples=len(store),
        new=new,
        changed=len(replaced),
        updated=updated,
        removed=len(pruned),
        moved=len(who.moved),
        overwritten=len(who.overwritten),
        verdicts_dropped=who.verdicts_dropped,
        sides_unknown=who.sides_unknown(after_of),
        fields_kept=who.fields_kept(after_of),
        gone=len(unlisted) - len(pruned) if whole else 0,
        embedded=embedding.embedded,
        resumed=len(embedding.staged_rows & set(born)),
        views=head.views,
        views_incomplete=embedding.views - head.views,
        outputs=store.outputs,
        outputs_incomplete=sorted(store.space["outputs"].keys() - store.outputs.keys()),
        set_aside=len(embedding.aside),
        broken=sum(known[one].uri in embedding.aside for one in known.keys() - set(pruned)),
        kept=embedding.kept,
        not_kept=embedding.not_kept,
        ignored=sum(listing.ignored.values()),
        teacher=store.teacher,
        seconds=0.0,
    )


def _without_file(
    store: Path, root: Path, others: Iterable[str], known: Mapping[str, Record], contents: Mapping[str, bytes]
) -> set[str]:
    """Return ids of other samples whose picture is under their name no more.

    Only files of those are looked at whose bytes a listed picture has got.

    Args:
        store: its path.
        root: the image folder.
        others: ids of samples that are not listed.
        known: what the store has: id -> record.
        contents: id -> the hash of each listed file that can be used.

    Raises:
        ImagesError: the folder of such a file is not there.
    """
    came = _came(known, contents)
    found = {one for one in others if known[one].content in came and not _has_file(root, known[one])}
    for one in sorted(found):
        folder = (root / known[one].uri).parent
        if not folder.is_dir():
            raise ImagesError(
                f"The picture of '{one}' was named under another name, and its folder '{folder}' is not there, so nothing tells "
                "whether it moved or was copied, and nothing was added; put the folder back, or if it is gone for good: "
                f"embedstore build '{store}' IMAGES"
            )
    return found


def _came(known: Mapping[str, Record], contents: Mapping[str, bytes]) -> set[bytes]:
    """Return the bytes that a listed picture has got."""
    return {content for one, content in contents.items() if one not in known or known[one].content != content}


def _has_file(root: Path, record: Record) -> bool:
    """Return whether a sample's file has its bytes still, or can't be read, so that nothing tells."""
    if leaves(record.uri):
        return True
    try:
        return content_hash((root / record.uri).read_bytes()) == record.content
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True


def _one_half(store: Path, name: str, known: Mapping[str, Record], contents: Mapping[str, bytes]) -> ImagesError:
    """Return the error for a name that has another known picture, while the one before may lie where nobody looks."""
    other = next(one for one, record in known.items() if record.content == contents[name])
    return ImagesError(
        f"'{name}' has the picture of '{other}' now, and nothing that was named tells where the one before is, so nothing was "
        f"added; name that one too, or have all pictures looked at: embedstore build '{store}' IMAGES"
    )


def _complete_columns(embedding: EmbeddingPass, pruned: set[str]) -> tuple[Column, ...]:
    """Return the columns in which every sample of the new version has its vector.

    A sample that is not listed any more, or whose picture was set aside, keeps what it has but can't get new views;
    columns that it lacks are left out, so that no reader ever meets a hole.
    """
    left_behind = [
        record.row
        for sample_id, record in embedding.known.items()
        if sample_id not in embedding.done and sample_id not in pruned
    ]
    columns = embedding.columns()
    kept = [column for column in columns if all(embedding.present[column][row] for row in left_behind)]
    return tuple(kept)
