"""The error tree: every error raised on purpose is an `EmbedstoreError` and the fitting builtin too.

A message says what came, what was expected and what to do next, in one sentence that a command can print as it is.
"""


class EmbedstoreError(Exception):
    """Base of all errors that embedstore and distill raise on purpose."""


class ImagesError(EmbedstoreError, ValueError):
    """The image folder or the manifest can't be used."""


class PictureError(EmbedstoreError, ValueError):
    """One file can't be read as a picture; a build sets it aside and goes on."""


class TeacherError(EmbedstoreError, ValueError):
    """The teacher is unknown, can't be loaded, or can't do what was asked of it."""


class WeightsUnavailableError(TeacherError, OSError):
    """A teacher's weights are neither on this machine nor to be had over the network."""


class MissingPackageError(EmbedstoreError, ImportError):
    """An optional package that this call needs is not installed."""


class StoreError(EmbedstoreError, ValueError):
    """The store can't do what was asked of it."""


class NotAStoreError(StoreError, FileNotFoundError):
    """The path holds no store."""


class CorruptStoreError(StoreError):
    """Bytes in the store are not the ones that were written."""


class StoreLockedError(StoreError, BlockingIOError):
    """Another process is writing to the store."""


class ConflictError(StoreError):
    """What a decision was based on has been changed meanwhile, by somebody else or by a later version."""


class TeacherMismatchError(StoreError):
    """The store was filled by another teacher than the one at hand."""


class SummaryError(EmbedstoreError, ValueError):
    """A summary can't be made, or does not fit where it was to be used."""


class EngineError(EmbedstoreError, RuntimeError):
    """An engine, such as a Ray cluster, can't be reached, or failed at its work."""


class SettingsError(EmbedstoreError, ValueError):
    """A setting has a value that is not allowed."""


class TrainingError(EmbedstoreError, ValueError):
    """A student can't be trained or evaluated on what was given."""


class SourceError(EmbedstoreError, ValueError):
    """Embeddings that were to be imported can't be used."""


class ModelError(EmbedstoreError, ValueError):
    """A model for the terminal can't be used, or not for what was asked of it."""


class SearchEngineError(EmbedstoreError, RuntimeError):
    """A search engine can't be reached, or can't do what was asked of it."""


class OutOfStepError(SearchEngineError):
    """What a search engine holds is not what the store holds."""


def system_refusal(error: OSError) -> str:
    """Return the sentence for a path that the system refuses: no permission, name too long, disk full."""
    if error.filename is None:
        return f"The system refused to read or write ({error.strerror}); check the disk, and where the output goes."
    return f"'{error.filename}' can't be used: {error.strerror}; check the path, its permissions and the disk."
