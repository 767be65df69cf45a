"""Suggestions: samples that a person should look at, each with its reason and what to say of it. One kind a file.

To add a kind, write a file with a function `find(evidence) -> Found` and add its line to `KINDS`; the contract suite in
`tests/analysis/suggestions/test_suggestion_kinds.py` and the command then run over it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from embedstore.analysis.suggestions import disagreements, hidden_modes, torn_twins, wrong_labels
from embedstore.analysis.suggestions.evidence import Evidence, StudentScores
from embedstore.analysis.suggestions.suggestion import Found, Kind, Suggestion, Suggestions
from embedstore.errors import SettingsError

if TYPE_CHECKING:
    from embedstore.store.embedding_store import EmbeddingStore
    from embedstore.summaries import Summary

KINDS: dict[str, Kind] = {
    "wrong-labels": wrong_labels.find,
    "torn-twins": torn_twins.find,
    "hidden-modes": hidden_modes.find,
    "student": disagreements.find,
}

__all__ = ["KINDS", "Evidence", "Found", "Kind", "StudentScores", "Suggestion", "Suggestions", "suggest"]


def suggest(
    store: EmbeddingStore,
    *,
    against: Summary | str | None = None,
    kinds: Sequence[str] | None = None,
    top: int = 50,
    student: StudentScores | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Suggestions:
    """Suggest what to look at in a store, and what to say of it; nothing is written.

    `triage.triage(store, suggestion.verdicts, since=suggestions.version)` says it. Samples that were called dirt are no
    evidence and are never suggested; only sets of twins are found among all, as `find_twins` does. Deterministic, independent
    of the order of rows.

    Args:
        store: whose samples to look at, by their plain views.
        against: the summary that modes are looked for in, or the name of a saved one; where not given, one is made, see
            `odd_samples.find_odd`.
        kinds: keys of `KINDS`; all where not given. What a kind lacks is told in the remarks.
        top: how many of each kind, at most.
        student: what a student says of samples, for the kind `student`.
        progress: called with (kinds done, kinds in all).

    Raises:
        SettingsError: `top` is below 1, a kind is unknown, or the student's scores can't be.
        SummaryError: there is no such summary, or it is of another teacher.
    """
    if top < 1:
        raise SettingsError(f"The number of suggestions is {top}; ask for 1 or more of each kind.")
    asked = list(KINDS) if kinds is None else list(dict.fromkeys(kinds))
    for kind in asked:
        if kind not in KINDS:
            raise SettingsError(f"The kind of suggestion '{kind}' is unknown; use one of {', '.join(KINDS)}.")
    evidence = Evidence(store, against=against, top=top, student=student)
    found: dict[str, Found] = {}
    for kind in asked:
        if progress is not None:
            progress(len(found), len(asked))
        found[kind] = KINDS[kind](evidence)
    if progress is not None:
        progress(len(found), len(asked))
    return Suggestions(
        store.version,
        {kind: one.suggestions for kind, one in found.items()},
        {kind: one.remarks for kind, one in found.items()},
    )
