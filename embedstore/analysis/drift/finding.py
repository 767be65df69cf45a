"""From a store and a batch to a report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from embedstore.analysis.drift.batch import Batch, refuse_size
from embedstore.analysis.drift.comparison import Comparison, Pool
from embedstore.analysis.drift.draws import Codes
from embedstore.analysis.drift.reference import Measured, Reference, reference_of
from embedstore.analysis.drift.report import DriftReport, LabelRow, Light, MovedPicture, PrototypeRow
from embedstore.analysis.drift.verdict import Measures, kind_of, sentences_of
from embedstore.errors import SettingsError
from embedstore.pages.words import Text
from embedstore.vectors import Vectors, unit_length

if TYPE_CHECKING:
    from embedstore.store.embedding_store import EmbeddingStore
    from embedstore.summaries import Summary

FALSE_ALARMS = 0.01
_FEWEST = 5  # parts of the store that make a label a stratum of its own
_DRAWS = 999  # at least; ten times as many as one false alarm takes


def refuse_settings(false_alarms: float, top: int) -> None:
    """Refuse before a batch is embedded what `find_drift` would refuse after that.

    Raises:
        SettingsError: the rate is not .001 to .5, or the number of pictures to list is negative.
    """
    if not 0.001 <= false_alarms <= 0.5:
        raise SettingsError(f"The false-alarm rate is {false_alarms}; give one of .001 to .5, such as .01.")
    if top < 0:
        raise SettingsError(f"{top} pictures can't be listed; give 0 or more.")


def find_drift(
    store: EmbeddingStore,
    batch: Batch,
    *,
    against: Summary | str | None = None,
    false_alarms: float = FALSE_ALARMS,
    top: int = 20,
    seed: int = 0,
    reference: Reference | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> DriftReport:
    """Say whether a batch is still what a store describes; see the package for how, `DriftReport` for the answer.

    Deterministic for a seed, and independent of the order of rows and of the batch. Parts of the batch that the store has too
    are left out of the store's side, so that new photographs of known parts are compared with other parts. Of pictures without a
    group, as many neighbours by name count as one part as parts of the store have pictures on average.

    Args:
        store: that describes the usual.
        batch: by `batch_of`, `embedded`, `from_file` or `from_store`.
        against: a summary of the store, or its name, whose prototypes are told of; where not given, 16 sub-prototypes a label
            are made for this.
        false_alarms: how often an unchanged batch may be called drifted, .001 to .5.
        top: how many of the pictures that moved most to list.
        seed: of all that is drawn.
        reference: made by `reference_of` for this store and these parts, to use it for several batches.
        progress: called with (step, steps).

    Raises:
        SettingsError: the rate is out of range, the batch is larger than can be compared, or the store has too few parts.
        SummaryError: there is no such summary, or it is of another teacher, an estimate, or keeps own codes.
    """
    refuse_settings(false_alarms, top)
    refuse_size(len(batch))
    batch = batch.ordered()
    parts, shown = _parts_of(store, batch)
    usual = reference or reference_of(
        store, shown, against=against, light=batch.lights is not None, seed=seed, progress=progress
    )
    batch = replace(batch, vectors=unit_length(batch.vectors))
    measured = usual.measure(batch.vectors)
    known = all((part or "").startswith("group\0") for part in parts)
    pool = _pool(usual, batch, measured, parts, known=known)
    comparison = Comparison(pool, max(_DRAWS, round(10 / false_alarms) - 1), seed)
    common = comparison.common()
    ours = pool.batch
    beyond = measured.distance > usual.radius[measured.region]
    usual_beyond = usual.own.distance > usual.radius[usual.own.region]
    labels = _label_rows(usual, measured, beyond, usual_beyond, comparison)
    found = Measures(
        p=comparison.p,
        p_whole=comparison.p_whole,
        p_few=comparison.p_few,
        p_rest=comparison.rest(),
        p_mix=comparison.p_mix(),
        false_alarms=false_alarms,
        light=_light(comparison),
        pictures=len(batch),
        parts=len(set(pool.parts[ours].tolist())),
        parts_known=known,
        outside=int((ours & comparison.outside).sum()),
        clustered=comparison.clustered(),
        explained=common.explained,
        alike=common.alike,
    )
    kind = kind_of(found)
    return DriftReport(
        drifted=found.p <= false_alarms,
        kind=kind,
        sentences=sentences_of(found, kind, labels),
        remarks=_remarks(batch, usual, known=known),
        p=comparison.p,
        p_whole=comparison.p_whole,
        p_few=comparison.p_few,
        p_mix=found.p_mix,
        light=found.light,
        false_alarms=false_alarms,
        pictures=len(batch),
        parts=found.parts,
        parts_known=known,
        compared=len(usual.drawn),
        reference=len(usual.samples),
        left_out=usual.left_out,
        outside=found.outside,
        clustered=found.clustered,
        explained=common.explained,
        alike=common.alike,
        p_rest=found.p_rest,
        beyond=float(beyond.mean()),
        usual_beyond=float(usual_beyond.mean()),
        labels=labels,
        prototypes=_prototype_rows(usual, batch.vectors, measured, beyond, usual_beyond),
        moved=_moved(usual, batch, measured, comparison, top),
        store_version=store.version,
        summary=usual.summary,
        seed=seed,
        set_aside=dict(batch.set_aside),
    )


def _parts_of(store: EmbeddingStore, batch: Batch) -> tuple[list[str | None], set[str]]:
    """Return the part of each picture: as the batch says, or as the store says of the same picture; None: not known.

    A file is the same where its bytes are, for the names of files begin anew each day; else a name has to do.

    Returns:
        The parts, and with them all parts of the store that have a picture's file: more where copies of it were stored.
    """
    known: dict[bytes, set[str]] = {}
    if batch.contents:
        wanted = set(batch.contents)
        for at in range(len(store)):
            if (content := store.content_at(at)) in wanted:
                known.setdefault(content, set()).add(store.sample_at(at).part)
    namesakes = store.find([sample.id for sample in batch.samples]).tolist()
    parts: list[str | None] = []
    for at, sample in enumerate(batch.samples):
        if sample.group is not None:
            parts.append(sample.part)
        elif batch.contents:
            parts.append(min(known.get(batch.contents[at], ()), default=None))
        else:
            parts.append(store.sample_at(namesakes[at]).part if namesakes[at] >= 0 else None)
    return parts, {part for part in parts if part is not None}.union(*known.values())


def _light(comparison: Comparison) -> Light | None:
    common, shift = comparison.common_light(), comparison.light_shift()
    if common is None or shift is None or comparison.p_light is None:
        return None
    level, contrast, sharpness = (float(2**one) for one in shift)
    return Light(comparison.p_light, level, contrast, sharpness, common.explained)


def _pool(usual: Reference, batch: Batch, measured: Measured, parts: list[str | None], *, known: bool) -> Pool:
    """Return the store's drawn pictures together with the batch."""
    theirs = [usual.samples[at].part for at in usual.drawn]
    names = theirs + [f"batch\0{part}" for part in _dealt(parts, len(theirs) / len(set(theirs)))]
    codes = np.unique(names, return_inverse=True)[1].reshape(-1).astype(np.int64)
    labels = np.concatenate([usual.own.label[usual.drawn], measured.label])
    ours = np.arange(len(names)) >= len(theirs)
    lights = None if usual.lights is None or batch.lights is None else np.concatenate([usual.lights, batch.lights])
    vectors = np.concatenate([usual.vectors[usual.drawn], batch.vectors])
    return Pool(vectors, codes, labels, _strata(codes, labels, ours), ours, known, lights)


def _dealt(parts: list[str | None], size: float) -> list[str]:
    """Return the parts, and in place of each None one of as many as so many pictures show at `size` pictures a part.

    By chance as many independent ones as in the store; were each picture a part, five of one part would pass for five.
    """
    alone = parts.count(None)
    count = max(1, round(alone / size))
    numbers = iter(f"dealt\0{at * count // alone}" for at in range(alone))
    return [next(numbers) if part is None else part for part in parts]


def _strata(parts: Codes, labels: Codes, batch: npt.NDArray[np.bool_]) -> Codes:
    """Return for each picture the label that most pictures of its part have; of equals the first.

    Labels that hardly any part of the store has are one stratum with the most frequent: draws of few others would say nothing,
    and a batch that looks all like a label of one part would pass as usual.
    """
    counts = np.zeros((int(parts.max()) + 1, int(labels.max()) + 1), np.int64)
    np.add.at(counts, (parts, labels), 1)
    of_part = counts.argmax(axis=1)
    theirs = np.bincount(of_part[np.unique(parts[~batch])], minlength=counts.shape[1])
    strata: Codes = np.where(theirs[of_part] < _FEWEST, theirs.argmax(), of_part)[parts].astype(np.int64)
    return strata


def _label_rows(
    usual: Reference,
    measured: Measured,
    beyond: npt.NDArray[np.bool_],
    usual_beyond: npt.NDArray[np.bool_],
    comparison: Comparison,
) -> list[LabelRow]:
    rows = []
    for at, label in enumerate(usual.labels):
        own, theirs = measured.label == at, usual.own.label == at
        moved = comparison.moved(at)
        if own.any() or theirs.any():
            rows.append(
                LabelRow(
                    label=label,
                    pictures=int(own.sum()),
                    share=float(own.mean()),
                    usual_share=float(theirs.mean()),
                    beyond=_mean(beyond[own]),
                    usual_beyond=_mean(usual_beyond[theirs]),
                    shift=moved.shift if moved else None,
                    usual_shift=moved.usual_shift if moved else None,
                    spread=moved.spread if moved else None,
                    usual_spread=moved.usual_spread if moved else None,
                )
            )
    return rows


def _prototype_rows(
    usual: Reference,
    vectors: Vectors,
    measured: Measured,
    beyond: npt.NDArray[np.bool_],
    usual_beyond: npt.NDArray[np.bool_],
) -> list[PrototypeRow]:
    rows = []
    for at, name in enumerate(usual.names):
        own, theirs = measured.region == at, usual.own.region == at
        both = own.any() and theirs.any()
        spreads = [_spread(some) for some in (vectors[own], usual.vectors[theirs])]
        rows.append(
            PrototypeRow(
                name=name,
                label=usual.labels[usual.prototype_label[at]],
                pictures=int(own.sum()),
                share=float(own.mean()),
                usual_share=float(theirs.mean()),
                beyond=_mean(beyond[own]),
                usual_beyond=_mean(usual_beyond[theirs]),
                radius=float(usual.radius[at]),
                shift=float(np.linalg.norm(vectors[own].mean(axis=0) - usual.vectors[theirs].mean(axis=0)))
                if both
                else None,
                spread=spreads[0] / spreads[1] if own.sum() > 1 and theirs.sum() > 1 and spreads[1] > 0 else None,
                typical=usual.samples[usual.typical[at]].id,
            )
        )
    return rows


def _moved(usual: Reference, batch: Batch, measured: Measured, comparison: Comparison, top: int) -> list[MovedPicture]:
    """Return the pictures that moved most: those outside, the farthest apart first, then by how far they lie beyond the radius.

    Where all moved alike they lie close to one another, and none stands apart.
    """
    ours = comparison.pool.batch
    apart, theirs = comparison.space.apart[ours], np.sort(comparison.space.apart[~ours])
    outside = comparison.outside[ours]
    found = []
    beyond = measured.distance - usual.radius[measured.region]

    def order(at: int) -> tuple[float, float, str]:
        return -apart[at] if outside[at] else 0.0, -beyond[at], batch.samples[at].id

    for at in sorted(range(len(batch)), key=order)[:top]:
        sample, region = batch.samples[at], int(measured.region[at])
        found.append(
            MovedPicture(
                id=sample.id,
                uri=sample.uri,
                group=sample.group,
                percentile=float(100 * np.searchsorted(theirs, apart[at]) / len(theirs)),
                outside=bool(outside[at]),
                distance=float(measured.distance[at]),
                radius=float(usual.radius[region]),
                prototype=usual.names[region],
                label=usual.labels[usual.prototype_label[region]],
                typical=usual.samples[usual.typical[region]].id,
            )
        )
    return found


def _remarks(batch: Batch, usual: Reference, *, known: bool) -> list[Text]:
    said, compared = [], len(usual.drawn)
    if batch.lights is None or usual.lights is None:
        no_lights = batch.no_lights if batch.lights is None else usual.no_lights
        said.append(
            Text(
                f"Light and sharpness of the pictures themselves were not compared ({no_lights.en}), so a change of light that "
                "the teacher hardly sees is not found.",
                f"画像そのものの明るさ・鮮明さは比較していません（{no_lights.ja}）。"
                "教師モデルに見えにくい照明の変化は検出できません。",
            )
        )
    if not known:
        said.append(
            Text(
                "Not all pictures of the batch have a group, so it is taken to have as many pictures of a part as the store; "
                "where it has more, false alarms are more frequent than stated. Name the parts in a manifest: column 'group'.",
                "グループのない画像があるため、部品ごとの枚数をストアと同じとみなします。実際にそれより多いと、"
                "誤警報は表示の率より多くなります。マニフェストの group 列で部品を示してください。",
            )
        )
    if any(sample.group is None for sample in usual.samples):
        said.append(
            Text(
                "Some pictures of the store have no group and count as a part each; where some show one part, false alarms are "
                "more frequent than stated. Groups can be found with: embedstore twins",
                "ストアにグループのない画像があり、一枚ずつ別の部品として数えます。同じ部品の画像が複数あると、"
                "誤警報は表示の率より多くなります。embedstore twins で調べられます。",
            )
        )
    if usual.left_out:
        said.append(
            Text(
                f"{usual.left_out} pictures of the store show parts of this batch; they were left out of the comparison.",
                f"ストアの画像 {usual.left_out} 枚はこのバッチと同じ部品のため、比較から除きました。",
            )
        )
    if compared < len(usual.samples):
        said.append(
            Text(
                f"The tests use {compared:,} of {len(usual.samples):,} pictures of the store, drawn by whole parts.",
                f"検定にはストアの {len(usual.samples):,} 枚のうち、部品単位で選んだ {compared:,} 枚を使いました。",
            )
        )
    if batch.set_aside:
        said.append(
            Text(
                f"{len(batch.set_aside)} pictures can't be read and were passed over.",
                f"読めない画像 {len(batch.set_aside)} 枚は除きました。",
            )
        )
    return said


def _mean(values: npt.NDArray[np.bool_]) -> float | None:
    return float(values.mean()) if len(values) else None


def _spread(vectors: Vectors) -> float:
    """Return the root of the mean squared distance to the mean; 0 of nothing."""
    if not len(vectors):
        return 0.0
    away = vectors.astype(np.float64) - vectors.astype(np.float64).mean(axis=0)
    return float(np.sqrt((away * away).sum(axis=1).mean()))
