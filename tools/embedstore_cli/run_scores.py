"""What a finished run's student says of the samples that it was kept from, as suggestions take it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from embedstore import EmbeddingStore
    from embedstore.analysis.suggestions import StudentScores


def held_out_scores(run: Path, store: EmbeddingStore) -> StudentScores:
    """Return the scores that a run keeps: of its sides val, test and aside, none of which its student learned from.

    A picture that was renamed since is found by its content, as long as the store keeps the version that the run learned from.

    Raises:
        TrainingError: there is no run, or its scores are missing or damaged.
        TeacherMismatchError: it was trained from vectors of another teacher than the store's.
        MissingPackageError: PyTorch can't be imported.
    """
    import numpy as np

    from embedstore.analysis.suggestions import StudentScores
    from embedstore.errors import MissingPackageError, TeacherMismatchError

    try:
        from distill.training.renamed import learned_from
        from distill.training.run_directory import read, read_scores
    except ImportError as error:
        raise MissingPackageError(f"Reading a run needs PyTorch ({error}): pip install torch") from error

    description = read(run)
    if description["store"].get("fingerprint") != store.fingerprint:
        raise TeacherMismatchError(
            f"The run in '{run}' learned from another teacher than the one of the store '{store.path}'; name the run's store, or "
            "a run of this store."
        )
    held, classes = read_scores(run)
    probabilities = np.array([one.probabilities for one in held], np.float64).reshape(len(held), len(classes))
    scores = StudentScores([one.id for one in held], classes, probabilities, held_out=True)
    with learned_from(store, description["store"]) as then:
        return scores.since(then, store)
