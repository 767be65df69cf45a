"""The plan of a refresh, with its price: made from what the store and the folder say, before anything is written."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from embedstore.errors import ImagesError, PictureError, StoreError, SummaryError
from embedstore.images import ABSENT, Listing, Sample
from embedstore.pictures import content_hash, decode
from embedstore.refreshing.dealing import sides_by_picture, sides_of
from embedstore.refreshing.settings import RefreshSettings
from embedstore.store import layout
from embedstore.store.embedding_pass import Progress
from embedstore.store.embedding_store import EmbeddingStore, open_store
from embedstore.store.fields import ID, Record, record_of
from embedstore.store.identities import identify
from embedstore.store.lost_manifest import refuse_lost_manifest
from embedstore.store.merging import merge
from embedstore.store.rows import staged
from embedstore.summaries import BY_LABEL, UPDATES, Summary
from embedstore.summaries.updating import Difference, Lineage, State, picture_marks, seen_then
from embedstore.teachers import Teacher
from embedstore.verdicts import VERDICT
from embedstore.views import draw_view, render

UPDATE, AGAIN, STAYS = "update", "make again", "stays"

_TIMED, _TIMED_SECONDS = 3, 2.0  # pictures that are embedded to see how long one takes, and when fewer do
_READERS = 8


@dataclass(frozen=True)
class SummaryPlan:
    """What is to become of a saved summary.

    Attributes:
        name, strategy: of it.
        how: `update`, where a label may still be made again; `make again`; or `stays`.
        came, left: samples that it does not know, and that it knows no longer; those with another picture are in both.
        labels: that change.
        seconds: that its last update took; None where it never had one.
        why: where it stays although samples changed.
    """

    name: str
    strategy: str
    how: str
    came: int = 0
    left: int = 0
    labels: tuple[str, ...] = ()
    seconds: float | None = None
    why: str = ""


@dataclass(frozen=True)
class Plan:
    """What a refresh will do, and what it costs.

    Attributes:
        version: of the store that it starts from.
        listed: pictures that folder or manifest name.
        new, changed, updated, gone: ids of samples: not known yet; with another picture; of which only a label or another field
            changes; whose picture is not listed any more, by its name.
        unreadable: path -> why it can't be used.
        resumed: of the new and changed, how many an interrupted run has embedded already.
        sides: id -> the side of the split that it gets.
        without_side: new pictures without a side, where others have one: no summary of a side will see them. Those of
            `sides_unknown` are not counted.
        without_group: new pictures without a group, where others have one: each is taken for a part of its own.
        without_picture: of those that are gone, how many whose picture is under no other name either.
        moved: pictures that the store has under another name: what is known of them goes along, see `identities.identify`.
        moved_to_another_label: of these, how many get another label, as by the folder that they are in now.
        overwritten: samples that leave since another picture has their name, see `identities.Identities`.
        verdicts_dropped: ids of samples whose picture was taken again, so that the verdict on the old one goes.
        sides_unknown: of these, ids of former dirt of which nothing tells any more on which side it was, so that it has none but
            one of `sides`.
        fields_kept: id -> names of label, mode and attributes that a person gave, of samples whose picture was taken again, which
            keep them.
        labels: label -> samples before and after, where that differs.
        views: augmented views beside the plain picture, which each picture is embedded in as well.
        seconds_each: for a picture on this machine, measured now on a few of them; None where there is none to embed.
        summaries: what is to become of each.
        prune: whether all that are gone leave the store.
    """

    version: int
    listed: int
    new: tuple[str, ...]
    changed: tuple[str, ...]
    updated: tuple[str, ...]
    gone: tuple[str, ...]
    unreadable: Mapping[str, str]
    resumed: int
    sides: Mapping[str, str]
    without_side: int
    without_group: int
    without_picture: int
    moved: int
    moved_to_another_label: int
    overwritten: int
    verdicts_dropped: tuple[str, ...]
    sides_unknown: tuple[str, ...]
    fields_kept: Mapping[str, tuple[str, ...]]
    labels: Mapping[str, tuple[int, int]]
    views: int
    seconds_each: float | None
    summaries: tuple[SummaryPlan, ...]
    prune: bool

    @property
    def to_embed(self) -> int:
        """How many pictures go through the teacher."""
        return len(self.new) + len(self.changed) - self.resumed

    @property
    def seconds(self) -> float:
        """What the work after the plan is expected to take: pictures, and those summaries of which it is known."""
        pictures = (self.seconds_each or 0.0) * self.to_embed
        return pictures + sum(one.seconds or 0.0 for one in self.summaries if one.how != STAYS)

    @property
    def pictures_change(self) -> bool:
        """Whether samples come, go or change."""
        return bool(self.new or self.changed or self.updated or (self.prune and self.gone))

    @property
    def nothing(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.pictures_change or self.sides or any(one.how != STAYS for one in self.summaries))


def make_plan(
    store: EmbeddingStore,
    listing: Listing,
    settings: RefreshSettings,
    load: Callable[[], Teacher],
    progress: Progress | None = None,
) -> tuple[Plan, dict[str, bytes]]:
    """Look at all pictures and summaries, and write nothing; with the plan, return id -> content hash of each usable picture.

    Args:
        store: at its newest version.
        listing: what folder or manifest say.
        settings: of the refresh.
        load: gives the store's teacher; called only where there is something to embed.
        progress: called with (pictures looked at, pictures in all).

    Raises:
        SettingsError: a side is asked for that the store has no use of, or a store of a manifest is to be refreshed without it.
        ImagesError: most samples would be removed, or a known picture changed or leaves while a listed file is absent.
        TeacherError, TeacherMismatchError: the teacher can't be loaded, or is another.
    """
    known = {record.id: record for record in store.records()}
    refuse_without_manifest(store, listing, settings, known)
    looked = _Look(store, listing, known, progress or (lambda done, total: None))
    after = dict(known)
    gone = tuple(one for one in known if one not in looked.listed)
    who = identify(
        store, known, looked.lost, looked.contents, {one for one in gone if known[one].uri not in looked.unreadable}
    )
    for sample in looked.usable:
        after[sample.id] = merge(who.before.get(sample.id), sample, -1, looked.contents[sample.id])
    without_picture = [one for one in gone if one not in who.elsewhere]
    if settings.prune:
        _refuse_half(listing, len(without_picture), len(known))
    for one in gone:
        if settings.prune or one in who.elsewhere:
            del after[one]
    new = tuple(one for one in after if one not in known)
    stay = tuple(one for one in known if one in after)
    changed = tuple(one for one in stay if after[one].content != known[one].content)
    _refuse_waiting(looked.unreadable, len(known) - len(stay) + len(changed))
    to_embed = {*new, *changed}
    updated = tuple(
        one for one in stay if one not in to_embed and replace(after[one], row=known[one].row) != known[one]
    )
    sides = sides_of(after.values(), settings.side, {} if settings.side is None else _left(store, known))
    sides_unknown = who.sides_unknown(after)
    resumed = sum((layout.id_key(one), after[one].content) in looked.staged for one in to_embed)
    wanted = [sample for sample in looked.usable if sample.id in to_embed]

    def without(name: str) -> int:
        """Return how many pictures come in without a side or a group, where others have one."""
        if all(getattr(record, name) is None for record in known.values()):
            return 0
        fresh = (one for one in (*new, *changed) if one not in known or getattr(known[one], name) is not None)
        counted_apart = {*sides, *sides_unknown} if name == "split" else ()
        return sum(getattr(after[one], name) is None and one not in counted_apart for one in fresh)

    plan = Plan(
        version=store.version,
        listed=len(listing.samples) + len(listing.unreadable),
        new=new,
        changed=changed,
        updated=updated,
        gone=gone,
        unreadable=looked.unreadable,
        resumed=resumed,
        sides=sides,
        without_side=without("split"),
        without_group=without("group"),
        without_picture=len(without_picture),
        moved=len(who.moved),
        moved_to_another_label=sum(after[one].label != record.label for one, record in who.moved.items()),
        overwritten=len(who.overwritten),
        verdicts_dropped=who.verdicts_dropped,
        sides_unknown=sides_unknown,
        fields_kept=who.fields_kept(after),
        labels=_label_counts(known.values(), after.values()),
        views=store.views,
        seconds_each=_measured(store, listing, wanted, load()) if len(wanted) > resumed else None,
        summaries=tuple(_summary_plans(store, _states(store, after, sides))),
        prune=settings.prune,
    )
    return plan, looked.contents


def refuse_without_manifest(
    store: EmbeddingStore, listing: Listing, settings: RefreshSettings, known: Mapping[str, Record]
) -> None:
    """Refuse to refresh a store of a manifest without one; `known` is what the store has: id -> record."""
    if settings.manifest is None:
        refuse_lost_manifest(listing, known, f"embedstore refresh '{store.path}'")


class _Look:
    """What the files are now.

    Attributes:
        contents: id -> the hash of the file.
        usable: samples whose picture can be used.
        listed: the ids of all that are listed, usable or not.
        unreadable: path -> why not.
        lost: id -> what is known of a sample whose vectors a repair had to give up.
        staged: key of id and content of what an interrupted run has embedded.
    """

    def __init__(self, store: EmbeddingStore, listing: Listing, known: Mapping[str, Record], progress: Progress):
        self._root, self._known = listing.root, known
        rows, lost = store.look(lambda tables: (tables.rows(), tables.lost()))
        self.staged = {(row["key"].tobytes(), row["content"].tobytes()) for row in rows[staged(rows)]}
        self.lost = {fields[ID]: record_of(-1, b"", fields) for fields in lost}
        self.listed = {sample.id for sample in listing.samples}
        self.unreadable, self.contents = dict(listing.unreadable), dict[str, bytes]()
        self.usable: list[Sample] = []
        with ThreadPoolExecutor(_READERS, thread_name_prefix="embedstore-look") as pool:
            looks = zip(listing.samples, pool.map(self._content, listing.samples), strict=True)
            for number, (sample, found) in enumerate(looks, start=1):
                progress(number, len(listing.samples))
                if isinstance(found, bytes):
                    self.contents[sample.id] = found
                    self.usable.append(sample)
                else:
                    self.unreadable[sample.uri] = found

    def _content(self, sample: Sample) -> bytes | str:
        """Return the hash of a file, or why it can't be used; a picture that is known already need not be decoded."""
        try:
            data = (self._root / sample.uri).read_bytes()
        except OSError as error:
            return f"can't be read: {error.strerror}"
        content, known = content_hash(data), self._known.get(sample.id)
        if known is None or known.content != content:
            try:
                decode(data)
            except PictureError as error:
                return str(error)
        return content


def _left(store: EmbeddingStore, known: Mapping[str, Record]) -> dict[bytes, str]:
    """Return the bytes of pictures -> their side, for their copies.

    Of all that the store has, and of what it had when samples came that have no side yet: a picture may have left with the same
    change. Only as far as versions are kept.
    """
    waiting = {one: record.content for one, record in known.items() if record.split is None}
    born = {int(number) - 1 for number in store.alive["born"][store.positions(list(waiting))]} if waiting else set()
    kept, wanted = {one.number for one in store.log() if one.readable}, set(waiting.values())
    found: dict[bytes, str] = {}
    for version in sorted(born & kept):  # what a later one says counts
        with open_store(store.path, version) as earlier:
            sides = earlier.text_field("split")
            contents = enumerate(map(bytes, earlier.alive["content"]))
            found |= sides_by_picture((content, sides.at(at)) for at, content in contents if content in wanted)
    return found | sides_by_picture((record.content, record.split) for record in known.values())


def _refuse_half(listing: Listing, gone: int, known: int) -> None:
    """Refuse to remove most samples: nobody looks on, and a disk that is not there looks just so."""
    if 2 * gone > known:
        raise ImagesError(
            f"{gone} of the store's {known} pictures are not listed under '{listing.root}', so nothing was removed; put them "
            "back, or if they are to go, remove them by hand: embedstore build with --prune"
        )


def _refuse_waiting(unreadable: Mapping[str, str], touched: int) -> None:
    """Refuse to change or remove known pictures while a listed file is absent: it may be one of them under another name."""
    waiting = [path for path, reason in unreadable.items() if reason == ABSENT]
    if waiting and touched:
        raise ImagesError(
            f"Listed files are not there ({len(waiting)}, such as '{waiting[0]}'), and pictures of the store changed or leave "
            f"({touched}), which these may be under other names, so nothing was done; take these rows out, or wait until the "
            "files are there."
        )


def _label_counts(before: Iterable[Record], after: Iterable[Record]) -> dict[str, tuple[int, int]]:
    was, will = (Counter(record.label or "(none)" for record in records) for records in (before, after))
    return {label: (was[label], will[label]) for label in sorted(was | will) if was[label] != will[label]}


def _states(
    store: EmbeddingStore, after: Mapping[str, Record], sides: Mapping[str, str]
) -> dict[str | None, dict[str, State]]:
    """Return what a summary of each side of the split, or of all that is not set aside, would be made of."""
    marks = dict(zip(store.ids, picture_marks(store, np.arange(len(store))), strict=True))
    states: dict[str | None, dict[str, State]] = {None: {}}
    for one, record in after.items():
        if record.label is None:
            continue
        mark = record.content if any(record.content) else marks[one]
        rare = (record.attributes or {}).get(VERDICT) == "rare"
        state = State(record.label, mark, record.group, record.mode, rare)
        side = record.split or sides.get(one)
        if side != "aside":
            states[None][one] = state
        if side is not None:
            states.setdefault(side, {})[one] = state
    return states


def _summary_plans(store: EmbeddingStore, states: Mapping[str | None, dict[str, State]]) -> Iterable[SummaryPlan]:
    for name in store.summary_names:
        data = store.look(lambda tables, name=name: tables.summary(name)) or b""  # type: ignore[misc]
        try:
            known, lineage = Lineage.read(data)
        except SummaryError as error:
            yield SummaryPlan(name, "", STAYS, why=f"it can't be read: {str(error).rstrip('.')}")
            continue
        yield _summary_plan(store, name, known, lineage, states.get(known.split, {}))


def _summary_plan(
    store: EmbeddingStore, name: str, known: Summary, lineage: Lineage, now: Mapping[str, State]
) -> SummaryPlan:
    every = sorted({state.label for state in now.values()})
    if known.fingerprint != store.fingerprint:
        return SummaryPlan(name, known.strategy, STAYS, why="it is of another teacher")
    if known.estimate is not None:
        true_one = f"embedstore summarize '{store.path}' {known.strategy} --name NAME"
        return SummaryPlan(
            name, known.strategy, STAYS, why=f"it is an estimate; make the true one beside it with: {true_one}"
        )
    if not now:
        return SummaryPlan(name, known.strategy, STAYS, why="no labelled sample of its side is left")
    try:
        difference = Difference.between(seen_then(store, known), now)
    except StoreError:
        return SummaryPlan(name, known.strategy, AGAIN, len(now), 0, tuple(every), lineage.seconds)
    outlived = known.views != store.views
    if not difference.labels and not outlived:
        return SummaryPlan(name, known.strategy, STAYS)
    by_label = known.strategy in BY_LABEL and not outlived
    how = UPDATE if by_label and known.strategy in UPDATES else AGAIN
    labels = tuple(difference.labels if by_label else every)
    return SummaryPlan(name, known.strategy, how, len(difference.came), len(difference.left), labels, lineage.seconds)


def _measured(store: EmbeddingStore, listing: Listing, samples: list[Sample], teacher: Teacher) -> float:
    """Return the seconds that a picture takes on this machine, from its file to its vectors; the first one only warms up."""

    def embed(sample: Sample) -> None:
        image = decode((listing.root / sample.uri).read_bytes())
        drawn = (draw_view(store.recipe, sample.id, view) for view in range(store.views + 1))
        teacher.embed(np.stack([render(image, view, teacher.input_size, store.recipe.fit) for view in drawn]))

    embed(samples[0])
    begun, count = time.monotonic(), 0
    for sample in (samples[1:] or samples)[:_TIMED]:
        embed(sample)
        count += 1
        if time.monotonic() - begun > _TIMED_SECONDS:
            break
    return (time.monotonic() - begun) / count
