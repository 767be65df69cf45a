"""What export and query print of a search engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from embedstore_cli import console

if TYPE_CHECKING:
    from embedstore.search_engines import EngineExport, SearchExport


def made_sentences(made: EngineExport) -> list[str]:
    """Return what an export made, how good it is, and what to do where that is less than was wanted."""
    effort = "" if made.effort is None else f" with effort {made.effort}"
    first = (
        f"Copied {console.count(made.count, 'sample', 'samples')} of version {made.version} to '{made.uri}', collection "
        f"'{made.collection}', index {made.kind}{effort}, {made.seconds:.1f} s."
    )
    if made.recall is None or made.faiss_overlap is None:
        return [first, "There are no neighbours whose answers could be compared."]
    second = (
        f"recall@10 {made.recall:.4f} against the store's exact search, overlap@10 {made.faiss_overlap:.4f} with FAISS (Flat), "
        f"measured with {made.queries} stored samples (seed {made.seed})."
    )
    if made.recall >= made.wanted:
        return [first, second]
    better = (
        "see whether somebody else writes there" if made.exact else "export again with --index FLAT, which is exact"
    )
    return [first, second, f"Wanted was a recall of {made.wanted}, which is not reached; {better}."]


def answered_sentence(export: SearchExport) -> str:
    """Return who answered a query, and how much of the right answer that is."""
    record = export.record
    found = ", which misses nothing" if export.exact else ""
    if not export.exact and record.recall is not None:
        found = f", which finds {record.recall:.1%} of the nearest, as measured with stored samples"
    return (
        f"By '{export.copy.engine.uri}', collection '{export.collection}', an export of version {record.version}, index "
        f"{record.kind}{found}."
    )
