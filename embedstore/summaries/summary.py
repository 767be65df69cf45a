"""Summary: prototypes with all that made them and what they hide; one safetensors value holds it."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from embedstore.errors import SummaryError
from embedstore.store import layout
from embedstore.summaries.class_loss import ClassLoss
from embedstore.summaries.codes import Codes, codes_fit, codes_from_tensors, codes_to_tensors
from embedstore.summaries.estimate import Estimate
from embedstore.vectors import Vectors

# 2: which prototype serves each view, which prototypes are samples, remarks, modes. 3: the same with codes, 4: an estimate; each
# written only where it is one: a program that does not know it would read such a summary, and write it again, without that.
_FORMAT, _WITH_CODES, _ESTIMATED = 2, 3, 4

_NOT_REPLAYED = ("medoids",)  # samples as prototypes, of which only the plain vector is ever a target

# The fields that the header holds as they are.
_PLAIN = ("name", "strategy", "parameters", "seed", "split", "fingerprint", "store_version", "labels", "remarks")


@dataclass(frozen=True)
class Summary:
    """Named, immutable prototypes.

    Attributes:
        name, strategy, parameters, seed, split: what made it.
        fingerprint: of the teacher whose vectors these are.
        store_version: that it was made from.
        vectors: (k, d) float32.
        labels: (k,).
        counts: (k,) how many training samples each prototype speaks for.
        radius: (k,) distance to the farthest of those, from the prototype at unit length.
        centre: (d,) mean of the training samples, to be taken off before directions are compared.
        source: (k,) which of the training samples each prototype is; -1 where it is none.
        seen: ids of the training samples (n,); a summary is refused where one of these is to be tested.
        serving: (n, views + 1) which prototype speaks for each of them in each view: the nearest of its label.
        fitted: (n,) which of them the vectors were made from.
        remarks: sentences about how it was made.
        averaging_loss: label -> what the summary hides of it.
        axes: (k, r, d) float32, the principal axes of each prototype's samples, the longest first, each as long as the
            standard deviation along it, so that vectors + z @ axes with z standard normal (r,) is a draw; zeros where there
            are fewer than r. None where the strategy does not tell.
        codes: in which own vectors are kept in few bytes, each sample in one of them; empty where they are not. What is
            hidden of a sample is then its distance from what its code says.
        estimate: from which teacher it was mapped, and how far off it is; None where it was made of the vectors of its own. What
            an estimate says of distances (radius, averaging loss) and of who is served was measured in the space it came from.
    """

    name: str
    strategy: str
    parameters: dict[str, Any]
    seed: int
    split: str | None
    fingerprint: str
    store_version: int
    vectors: Vectors
    labels: list[str]
    counts: npt.NDArray[np.int64]
    radius: Vectors
    centre: Vectors
    source: npt.NDArray[np.int64]
    seen: list[str]
    serving: npt.NDArray[np.int32]
    fitted: npt.NDArray[np.bool_]
    averaging_loss: Mapping[str, ClassLoss]
    remarks: list[str]
    axes: Vectors | None = None
    codes: tuple[Codes, ...] = ()
    estimate: Estimate | None = None

    @property
    def views(self) -> int:
        """How many augmented views it knows the prototypes of, beside the plain one."""
        return int(self.serving.shape[1]) - 1

    @property
    def nbytes(self) -> int:
        """How many bytes its prototypes take, with their axes, as float32, and its codes."""
        axes = 0 if self.axes is None else int(self.axes.nbytes)
        return int(self.vectors.nbytes) + axes + sum(one.nbytes for one in self.codes)

    def training_bytes(self, views: int | None = None) -> int:
        """Return how many bytes of it training needs with the policy that fits it, so that summaries compare by size.

        Where it has codes, those with their codebooks. Else prototypes and their axes; own vectors in all views of the
        prototypes that are samples, where those are replayed; and which prototype serves each sample, in the smallest whole
        numbers, where its label does not tell. Vectors count as float16, as in a store and as centroids are kept. Ids and
        labels are not counted.

        Args:
            views: how many augmented views are trained with; None: as many as it knows.

        Raises:
            SummaryError: it knows fewer.
        """
        known = self.codes[0].views if self.codes else self.views
        used = self._checked(views, known)
        if self.codes:
            return sum(one.nbytes_of(used) for one in self.codes)
        replayed = 0 if self.strategy in _NOT_REPLAYED else int((self.source >= 0).sum())
        axes = 0 if self.axes is None else int(np.prod(self.axes.shape[:2]))
        vectors = len(self.labels) + replayed * used + axes
        told = len(set(self.labels)) == len(self.labels)
        chosen = 0 if told else len(self.seen) * (1 if replayed else used + 1)
        return vectors * self._float16_bytes + chosen * np.min_scalar_type(len(self.labels) - 1).itemsize

    def own_bytes(self, views: int | None = None) -> int:
        """Return how many bytes the own vectors of its training samples take in a store, plain and in some views, or all.

        Raises:
            SummaryError: the store did not have so many views when the summary was made.
        """
        return len(self.seen) * (self._checked(views, self.views) + 1) * self._float16_bytes

    def _checked(self, views: int | None, known: int) -> int:
        """Return a number of views, `known` where none is given, or say that it can't be."""
        used = known if views is None else views
        if not 0 <= used <= known:
            raise SummaryError(f"The summary '{self.name}' knows {known} views, not {used}; ask for 0 to {known}.")
        return used

    @property
    def _float16_bytes(self) -> int:
        """How many bytes one vector takes in a store."""
        return 2 * int(self.vectors.shape[1])

    @property
    def warnings(self) -> list[str]:
        """Sentences on what the summary is likely to lose."""
        return [sentence for loss in self.averaging_loss.values() for sentence in loss.warnings()]

    def members(self, prototype: int) -> list[str]:
        """Return the ids that a prototype speaks for, by their plain view."""
        return [self.seen[at] for at in np.flatnonzero(self.serving[:, 0] == prototype)]

    def to_bytes(self, extra: Mapping[str, npt.NDArray[Any]] | None = None) -> bytes:
        """Encode as safetensors, with more tensors beside its own where given; the checksum covers them all.

        Ids are one byte tensor with offsets: a header of millions of ids would be refused.
        """
        encoded = [sample_id.encode() for sample_id in self.seen]
        tensors: dict[str, npt.NDArray[Any]] = {
            "vectors": self.vectors,
            "counts": self.counts,
            "radius": self.radius,
            "centre": self.centre,
            "source": self.source,
            "serving": self.serving,
            "fitted": self.fitted.astype(np.uint8),
            "ids": np.frombuffer(b"".join(encoded), np.uint8),
            "id_ends": np.cumsum([len(name) for name in encoded], dtype=np.int64),
            **({} if self.axes is None else {"axes": self.axes}),
            **codes_to_tensors(self.codes),
            **(extra or {}),
        }
        header = {
            "format": _ESTIMATED if self.estimate else _WITH_CODES if self.codes else _FORMAT,
            **{name: getattr(self, name) for name in _PLAIN},
            "averaging_loss": [loss.to_dict() for loss in self.averaging_loss.values()],
            **({} if self.estimate is None else {"estimate": self.estimate.to_dict()}),
        }
        sealed = json.dumps({**header, "crc32": _checksum(header, tensors)})
        data: bytes = save_tensors(tensors, metadata={"embedstore.summary": sealed})
        return data

    @classmethod
    def from_bytes(cls, data: bytes) -> Summary:
        """Decode what `to_bytes` gave.

        Raises:
            SummaryError: the bytes are no summary, are damaged, or are of another format.
        """
        return cls.with_extra(data)[0]

    @classmethod
    def with_extra(cls, data: bytes) -> tuple[Summary, dict[str, npt.NDArray[Any]]]:
        """Decode what `to_bytes` gave, and the tensors that were written beside the summary's own.

        Raises:
            SummaryError: the bytes are no summary, are damaged, or are of another format.
        """
        try:
            size = int.from_bytes(data[:8], "little")
            header = json.loads(json.loads(data[8 : 8 + size])["__metadata__"]["embedstore.summary"])
            if header["format"] not in (_FORMAT, _WITH_CODES, _ESTIMATED):
                raise SummaryError(
                    f"The summary has format {header['format']}, this program reads {_FORMAT} to {_ESTIMATED}; make it again."
                )
            tensors = load_tensors(data)
            if header.pop("crc32") != _checksum(header, tensors):
                raise SummaryError("The summary fails its checksum; make it again, or take it from a copy.")
            ends = tensors.pop("id_ends")
            text = tensors.pop("ids").tobytes()
            starts = np.concatenate([[0], ends]).astype(np.int64)[:-1]
            codes = codes_from_tensors(tensors)
            losses = [ClassLoss(**loss, coded=bool(codes)) for loss in header["averaging_loss"]]
            summary = cls(
                **{name: header[name] for name in _PLAIN},
                vectors=tensors.pop("vectors"),
                counts=tensors.pop("counts"),
                radius=tensors.pop("radius"),
                centre=tensors.pop("centre"),
                source=tensors.pop("source"),
                serving=tensors.pop("serving"),
                fitted=tensors.pop("fitted").astype(bool),
                seen=[text[start:end].decode() for start, end in zip(starts, ends, strict=True)],
                averaging_loss={loss.label: loss for loss in losses},
                axes=tensors.pop("axes", None),
                codes=codes,
                estimate=Estimate.from_dict(header["estimate"]) if header["format"] == _ESTIMATED else None,
            )
            if not _fits(summary):
                raise ValueError("its parts do not fit together")
        except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError, SafetensorError) as error:
            if isinstance(error, SummaryError):
                raise
            raise SummaryError(f"The bytes are no summary ({type(error).__name__}); make it again.") from error
        return summary, tensors


def least_bytes(ids: Sequence[str], views: int) -> int:
    """Return how many bytes a summary of some samples takes without its prototypes.

    Of each sample: which prototype serves it in the plain view and each other, whether it was fitted, its id and where that ends.
    """
    return len(ids) * (4 * (views + 1) + 1 + 8) + sum(len(one.encode()) for one in ids)


def refuse_too_large(ids: Sequence[str], views: int) -> None:
    """Say before the work that a summary can't be kept.

    Raises:
        SummaryError: it would take more than a store takes as one value.
    """
    if (size := least_bytes(ids, views)) > layout.MOST_BYTES:
        raise SummaryError(
            f"A summary of {len(ids):,} pictures in {views + 1} views each takes {size / 1e9:.1f} GB or more, and a store keeps "
            f"none above {layout.MOST_BYTES / 1e9:.1f} GB; summarise fewer, as those of a split, or make several stores."
        )


def _fits(summary: Summary) -> bool:
    """Return whether the parts of a summary fit together; one that was made by hand may say anything."""
    (k, d), n = summary.vectors.shape, len(summary.seen)
    whole, texts = np.integer, (summary.labels, summary.seen, summary.remarks, _texts_of(summary))
    floats = [summary.vectors, summary.centre, summary.radius]
    if summary.axes is not None:
        floats.append(summary.axes)
    return (
        k > 0
        and all(isinstance(text, str) for listed in texts for text in listed)
        and len(summary.labels) == k
        and (summary.centre.shape, summary.radius.shape, summary.counts.shape) == ((d,), (k,), (k,))
        and (summary.source.shape, summary.fitted.shape) == ((k,), (n,))
        and (summary.axes is None or (summary.axes.ndim, summary.axes.shape[::2]) == (3, (k, d)))
        and summary.serving.ndim == 2
        and len(summary.serving) == n
        and summary.serving.shape[1] > 0
        and all(np.issubdtype(part.dtype, np.floating) and np.isfinite(part).all() for part in floats)
        and all(np.issubdtype(part.dtype, whole) for part in (summary.counts, summary.source, summary.serving))
        and bool(((summary.source >= -1) & (summary.source < n)).all())
        and bool(((summary.serving >= 0) & (summary.serving < k)).all())
        and len(set(summary.seen)) == n
        and (type(summary.seed), type(summary.store_version)) == (int, int)
        and isinstance(summary.parameters, dict)
        and all(loss.fits for loss in summary.averaging_loss.values())
        and codes_fit(summary.codes, n, summary.views, d)
    )


def _texts_of(summary: Summary) -> list[object]:
    """Return what must be a text, beside lists of them; a split is one or none."""
    split = "" if summary.split is None else summary.split
    return [summary.name, summary.strategy, summary.fingerprint, split, *summary.averaging_loss]


def _checksum(header: Mapping[str, Any], tensors: Mapping[str, npt.NDArray[Any]]) -> int:
    """Return the CRC32 over all that a summary says."""
    crc = zlib.crc32(json.dumps(header).encode())
    for name in sorted(tensors):
        tensor = np.ascontiguousarray(tensors[name])
        crc = zlib.crc32(tensor.data, zlib.crc32(f"{name} {tensor.dtype.name} {tensor.shape}".encode(), crc))
    return crc
