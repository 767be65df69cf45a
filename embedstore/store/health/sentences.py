"""What a verification says of each kind of problem, and how it is mended: for whoever stands before the machine."""

from __future__ import annotations

from embedstore.store.health.problems import Kind

_REPAIR = "Run: embedstore repair '{path}'"
_COPY = "Restore the store from a copy, or build it again; a repair can't read it."
_TRY = _REPAIR + ", which saves what can still be read; where it can't, restore the store from a copy."
_NOTHING = "Nothing has to be done; "

_SENTENCES: dict[Kind, tuple[str, str]] = {
    Kind.CURRENT: ("The file that says which data is in use can't be used.", _REPAIR),
    Kind.STOPPED: ("Reading the data file ended the process that read it, so it is cut off or badly damaged.", _TRY),
    Kind.UNREADABLE: ("The data file can't be opened: it is cut off, of something else, or badly damaged.", _COPY),
    Kind.TABLE: ("A table of the data file is not there.", _REPAIR),
    Kind.ORDER: ("A table of the data file is damaged: parts are missing, or in the wrong place.", _REPAIR),
    Kind.ENTRY: (
        "Parts of the data are not what was written: a fault of the disk or the memory, or somebody changed them.",
        _REPAIR,
    ),
    Kind.SETTING: ("Settings are missing that the store can't be opened without.", _REPAIR),
    Kind.COUNT: ("A version says that it has another number of samples than are there.", _REPAIR),
    Kind.LOG: ("The log does not tell of versions that can be read, or tells something else of them.", _REPAIR),
    Kind.TAG: ("Tags name versions that can't be read any more.", _REPAIR),
    Kind.ROW_BLOCK: ("Rows are missing, so that it is not known whose the vectors in their place are.", _REPAIR),
    Kind.ROW: ("Rows say of themselves what can't be.", _REPAIR),
    Kind.ABOVE: ("Parts of the data belong to a version that nobody made.", _REPAIR),
    Kind.NAMELESS: ("Samples have no id.", _REPAIR),
    Kind.MISNAMED: ("Samples have the id of another sample.", _REPAIR),
    Kind.DUPLICATE: ("Samples are there twice.", _REPAIR),
    Kind.HOLE: ("Samples lack their vector.", _REPAIR),
    Kind.INFINITE: ("Vectors hold values that are no numbers.", _REPAIR),
    Kind.STRANGE: ("Parts of the data belong to a teacher or field that the store does not know.", _REPAIR),
    Kind.SUMMARY: (
        "Summaries were made of the vectors of a teacher that the store never had.",
        "Delete each by: embedstore summaries '{path}' --delete NAME",
    ),
    Kind.INDEX: (
        "The search index does not fit the store, or is damaged; searches may miss samples.",
        "Make it again by: embedstore index '{path}'",
    ),
    Kind.PUBLICATION: (
        "A change is being written, or was interrupted while it was.",
        _NOTHING + "what an interruption left is taken back by the next change.",
    ),
    Kind.STAGED: (
        "A build is embedding these samples, or was interrupted while it did.",
        _NOTHING + "the same build, run again, goes on from there.",
    ),
    Kind.WAITING: (
        "A repair had to give up the vectors of these samples; what else is known of them is kept.",
        "Run the same build or import again; it brings them back.",
    ),
    Kind.LEFT: (
        "A compaction or repair is writing this copy of the data, or left it behind.",
        _NOTHING + "the next change or repair removes what nobody uses.",
    ),
    Kind.KEPT_ASIDE: (
        "A repair kept the damaged data here.",
        "Delete this folder by hand once you are sure that nothing of it is needed.",
    ),
}


def sentences(kind: Kind, path: str) -> tuple[str, str]:
    """Return what is wrong, and what to do."""
    what, mend = _SENTENCES[kind]
    return what, mend.replace("{path}", path)
