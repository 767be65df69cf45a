"""The summary that a run takes its targets from, and the refusal of one that saw what the run is tested on."""

from collections.abc import Iterator, Mapping
from typing import Any

from distill.source import Source
from distill.targets.making import SAVED
from distill.training.run_data import RunData
from distill.training.settings import Settings
from embedstore import EmbeddingStore, Summary
from embedstore.errors import SettingsError, SummaryError
from embedstore.exports import SummaryFile
from embedstore.store.earlier_pictures import PicturesSince, seen_since
from embedstore.summaries import summarize


def summary_for(store: Source, data: RunData, settings: Settings, strategy: str, options: Mapping[str, Any]) -> Summary:
    """Return the summary that a policy needs: the one asked for, or one of the run's own training samples."""
    summary = saved_summary(store, options)
    if summary is None:
        assert isinstance(store, EmbeddingStore)  # noqa: S101  a file is a saved summary
        summary = summarize(store, strategy, positions=data.sides["train"], seed=settings.seed, **options)
    check_summary(summary, store, data)
    return summary


def saved_summary(store: Source, options: Mapping[str, Any]) -> Summary | None:
    """Return the summary that a policy's options name, or that a summary file is; None where one is to be made.

    Raises:
        SummaryError: there is no such summary.
        SettingsError: the options ask for one to be made from a summary file.
    """
    if isinstance(store, SummaryFile):
        if options.keys() - {SAVED}:
            raise SettingsError(
                f"'{store.path}' holds a finished summary, so none can be made; leave its options out, or take the store for a "
                "method that has its own, such as clip-embed-kd."
            )
        return store.summary(options.get(SAVED, store.kept.name))
    return store.summary(options[SAVED]) if SAVED in options else None


def check_summary(summary: Summary, store: Source, data: RunData) -> None:
    """Refuse a summary of another teacher, or one that saw what this run validates or tests on; the rest goes to the remarks.

    A picture that was renamed since is found by its content, as long as the store keeps the version that the summary was made of.

    Raises:
        SummaryError: with what is wrong; or names have other pictures now, by which it tells targets.
    """
    if summary.fingerprint != store.fingerprint:
        raise SummaryError(
            f"The summary '{summary.name}' is of another teacher (fingerprint {summary.fingerprint[:12]}) than the "
            f"store '{store.path}' ({store.fingerprint[:12]}); make it again from this store."
        )
    if summary.store_version > store.version:
        raise SummaryError(
            f"The summary '{summary.name}' was made of version {summary.store_version} of the store, and this run learns from "
            f"the earlier version {store.version}; use an earlier summary, or begin in another directory with the newest version."
        )
    seen = seen_since(summary, store)
    held_out = {at for side in ("val", "test", "aside") for at in data.sides[side].tolist()}
    leaked = {one: data.samples[at].id for one, places in seen.places.items() for at in places if at in held_out}
    if leaked:
        old, new = next(iter(leaked.items()))
        such = f"'{old}'" if old == new else f"'{old}', now '{new}'"
        raise SummaryError(
            f"The summary '{summary.name}' saw {len(leaked)} pictures that this run is tested on (such as {such}), which would "
            f"make its figures false; {_without_leak(summary, store, data)}"
        )
    # A part that was taken again may keep its prototype, of which a remark tells; a code is of the very picture.
    may_stay = set() if summary.codes else set(seen.retaken)
    others = [one for one in seen.replaced if one not in may_stay]
    if others and _tells_by_name(summary):
        raise SummaryError(
            f"The summary '{summary.name}' tells the target of each picture by its name, and {len(others)} names (such as "
            f"'{others[0]}') have other pictures now, which would get the targets of the earlier ones; "
            f"{_without_leak(summary, store, data)}"
        )
    data.remarks.extend(_remarks(summary, seen, store, data))


def _remarks(summary: Summary, seen: PicturesSince, store: Source, data: RunData) -> Iterator[str]:
    """Tell what a reader of the figures should know of a summary that may be used."""
    if summary.store_version != store.version:
        yield (
            f"The summary '{summary.name}' was made of version {summary.store_version} of the store, which is at version "
            f"{store.version} now; what changed since then is not in it."
        )
    if summary.estimate is not None:
        yield f"The summary '{summary.name}' is {summary.estimate.in_words()}."
    if seen.retaken:
        yield (
            f"{len(seen.retaken)} pictures that the summary '{summary.name}' saw (such as '{seen.retaken[0]}') were taken again "
            "since, and it tells of the earlier ones; make it again."
        )
    tested = {at for side in ("val", "test") for at in data.labelled(side).tolist()}
    if copies := [(at, one) for at, one in seen.copies.items() if at in tested]:
        at, one = copies[0]
        yield (
            f"{len(copies)} pictures that this run is tested on are copies of others that the summary '{summary.name}' saw (such "
            f"as '{data.samples[at].id}', of '{one}'), so the figures look better than they are; unite them with: embedstore "
            "twins STORE --apply, and split again."
        )
    if seen.untraced:
        yield (
            f"{len(seen.untraced)} pictures that the summary '{summary.name}' saw (such as '{seen.untraced[0]}') are not in this "
            "store; should it have them under other names, the run is tested on what the summary saw, and its figures are too "
            "good; make it again to be sure."
        )


def _tells_by_name(summary: Summary) -> bool:
    """Return whether a target hangs on which picture it is for; of one prototype a label, the label alone tells."""
    several = len(set(summary.labels)) < len(summary.labels)
    return bool(summary.codes) or several or bool((summary.source >= 0).any())


def _without_leak(summary: Summary, store: Source, data: RunData) -> str:
    """Say where a summary comes from that did not see what is tested."""
    is_file = isinstance(store, SummaryFile)
    if data.folds is not None:
        return "with folds, summaries are made anew from each fold's training side; " + (
            "leave the folds out (--no-folds), or take the store that the file was exported from."
            if is_file
            else f'give parameters (such as k, share) instead of summary = "{summary.name}".'
        )
    if is_file:
        return (
            "in the store that it was exported from, make it again from the training split and export that: "
            f"embedstore summarize STORE {summary.strategy} --split train"
        )
    return f"make it from the training split: embedstore summarize '{store.path}' {summary.strategy} --split train"
