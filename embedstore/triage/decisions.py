"""Triage: what a person says of samples goes into the store, as one version that can be undone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

from embedstore.analysis.twin_groups import fresh_group, unite
from embedstore.errors import SettingsError, StoreError
from embedstore.store.fields import as_stored, spelt
from embedstore.store.grouping import regrouped
from embedstore.store.sides import ASIDE, is_dirt, sides_after, texts_of
from embedstore.store.texts import refuse_surrogates
from embedstore.triage.change import WAIT_SECONDS, Change
from embedstore.triage.conflicts import refuse_changed
from embedstore.verdicts import KINDS, VERDICT, Verdict

if TYPE_CHECKING:
    from embedstore.store.embedding_store import EmbeddingStore

_WATCHED = ("label", "split", "group", VERDICT)  # what a person looks at and decides on


def triage(
    store: EmbeddingStore, verdicts: Mapping[str, Verdict], *, since: int | Mapping[str, int] | None = None
) -> Change:
    """Write what a person says of some samples, all as one version or nothing; `triage.undo` takes it back.

    Each sample keeps the kind of its verdict as its attribute `verdict`. Beside that, `wrong-label` sets the label; `dirt`
    sets the split to `aside`, which no summary and no training takes; `twin` unites the groups of both samples, all pictures
    of them, as `EmbeddingStore.set_groups` does: the largest goes on, and where there is none, one is made. `rare` needs
    nothing else. A sample has one verdict, the last; labels and groups that earlier ones gave stay. One that was dirt goes
    where the others of its group are by now, or else back to the side that it came from.

    Later builds keep all of it until the folder or manifest says something new of the sample; dirt stays aside even then. A
    verdict on a picture that was taken again, under the same name, goes: see `identities.identify`.

    Args:
        store: open at its newest version. Another writer is waited for, up to 10 s.
        verdicts: id -> verdict.
        since: the version that the person looked at, or that of each sample, by id. Pass that of what was on the screen, not
            the newest: it is refused then where somebody has changed one of these samples meanwhile.

    Returns:
        What changed. Where all was said before, nothing did, and no version is made.

    Raises:
        ConflictError: since that version a sample has got another label, split, group, verdict or picture, or was deleted; other
            than where it has got just what is said of it.
        StoreLockedError: another writer takes longer.
        StoreError: an id is unknown, a text can't be stored, or the attribute `verdict` says something else of a sample.
        SettingsError: an id is given twice, or as its own twin.
    """
    given = _checked(verdicts)
    with store.write("triage", wait=WAIT_SECONDS) as writing:
        change = plan_triage(store, given, since=since)
        return change.write(store, writing, Counter(said.kind for said in given.values()))


def plan_triage(
    store: EmbeddingStore, verdicts: Mapping[str, Verdict], *, since: int | Mapping[str, int] | None = None
) -> Change:
    """Return what `triage` would change, and change nothing; it refuses the same."""
    given = _checked(verdicts)
    twins = _values(given, "twin")
    before = set() if since is None else _said_before(store, given)
    for version, some in _seen_at(given, since).items():
        if new := [one for one in some if one not in before]:
            twins_of_new = [twins[one] for one in new if one in twins]
            refuse_changed(store, version, dict.fromkeys(twins_of_new, ("group",)) | dict.fromkeys(new, _WATCHED))
    told = _told(store, list(given))
    store.positions(list(twins.values()))  # refuses unknown ids
    united = _united(store, twins)
    aside = zip(given, told, texts_of(store, "split", list(given)), strict=True)
    back = [one for one, kind, split in aside if is_dirt(split, kind) and given[one].kind != "dirt"]
    dirt: dict[str, str | None] = {one: ASIDE for one, said in given.items() if said.kind == "dirt"}
    return Change.towards(
        store,
        {
            VERDICT: {one: said.kind for one, said in given.items()},
            "label": _values(given, "wrong-label"),
            "split": dirt | sides_after(store, back, united),
            "group": united,
        },
    )


def _checked(verdicts: Mapping[str, Verdict]) -> dict[str, Verdict]:
    """Return id -> verdict, ids as they are stored."""
    refuse_surrogates("id", verdicts)
    for said in verdicts.values():
        refuse_surrogates(f"value of the verdict '{said.kind}'", (said.value or "",))
    given: dict[str, Verdict] = {}
    for sample_id, said in zip(map(as_stored, verdicts), verdicts.values(), strict=True):
        if given.setdefault(sample_id, said) != said:
            raise SettingsError(f"The id '{sample_id}' was given two verdicts; leave one of them.")
        if said.kind == "twin" and as_stored(said.value or "") == sample_id:
            raise SettingsError(f"The sample '{sample_id}' was called its own twin; give the id of the other.")
    return given


def _seen_at(given: Mapping[str, Verdict], since: int | Mapping[str, int] | None) -> dict[int, list[str]]:
    """Return version -> ids of the samples that a person looked at then."""
    if since is None:
        return {}
    if isinstance(since, int):
        return {since: list(given)}
    versions = {as_stored(sample_id): version for sample_id, version in since.items()}
    if missing := next((one for one in given if one not in versions), None):
        raise SettingsError(f"The version at which '{missing}' was looked at is missing; give one of each sample.")
    found: dict[int, list[str]] = {}
    for one in given:
        found.setdefault(versions[one], []).append(one)
    return found


def _said_before(store: EmbeddingStore, given: Mapping[str, Verdict]) -> set[str]:
    """Return the ids of samples of which the store says it all, so that it changes nothing to say it again."""
    twins = _values(given, "twin")
    met = {*given, *twins.values()}
    there = [one for one, at in zip(met, store.find(list(met)).tolist(), strict=True) if at >= 0]
    has = {
        name: dict(zip(there, texts_of(store, name, there), strict=True))
        for name in (spelt(VERDICT), "label", "split", "group")
    }
    labels, groups = _values(given, "wrong-label"), has["group"]
    return {
        one
        for one, said in given.items()
        if has[spelt(VERDICT)].get(one) == said.kind
        and (one not in labels or has["label"][one] == labels[one])
        and (said.kind != "dirt" or is_dirt(has["split"][one], said.kind))
        and (one not in twins or (groups[one] is not None and groups[one] == groups.get(twins[one])))
    }


def _values(given: Mapping[str, Verdict], kind: str) -> dict[str, str]:
    """Return id -> value of the verdicts of a kind that has one."""
    return {one: as_stored(said.value or "") for one, said in given.items() if said.kind == kind}


def _told(store: EmbeddingStore, ids: list[str]) -> list[str | None]:
    """Return the verdicts that samples have."""
    found = texts_of(store, spelt(VERDICT), ids)
    for sample_id, text in zip(ids, found, strict=True):
        if text is not None and text not in KINDS:
            raise StoreError(
                f"The sample '{sample_id}' has an attribute '{VERDICT}' with the text '{text}', which is no verdict of triage; "
                "keep it under another name, and take it away with: embedstore relabel STORE ID... --none --field verdict"
            )
    return found


def _united(store: EmbeddingStore, twins: Mapping[str, str]) -> dict[str, str | None]:
    """Return id -> group of the samples whose group is another once twins share one."""
    if not twins:
        return {}
    ids = sorted({*twins, *twins.values()})
    group_of, sizes = dict(zip(ids, texts_of(store, "group", ids), strict=True)), Counter(store.field("group"))
    taken, fresh = set(sizes), dict[str, str]()
    for one in (one for one in ids if group_of[one] is None):
        # A group that counts no pictures yet, so that a given one goes on.
        group_of[one] = fresh[one] = fresh_group(one, taken)
        taken.add(fresh[one])
    met = [[str(group_of[one]), str(group_of[other])] for one, other in twins.items()]
    return regrouped(store, fresh, unite(met, sizes))
