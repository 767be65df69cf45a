"""compressed-own: every sample's own vectors, in all views, in a few bytes each; more bytes for those that few describe badly.

A student learns from the angles between targets, so what is kept is centred directions on their principal axes, cut off and
product-quantised. The axes themselves are not kept: nothing that trains needs them.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from embedstore.errors import SummaryError
from embedstore.summaries import class_mean
from embedstore.summaries.codes import MOST_BYTES, Codebook, Codes, decoded
from embedstore.summaries.sizes import check_share, share_of
from embedstore.summaries.strategy import Positions, Prototypes, TrainingVectors, directions
from embedstore.vectors import Vectors, unit_length

_AXES_EACH = 4  # axes for a byte of a code, two bits for an axis: more cost codebook and bring little
_MOST_FITTED = 32_768  # vectors, of all views, that axes and centroids are fitted to: 128 for each centroid
_AT_ONCE = 2048  # vectors; fixed, since sums round otherwise with other blocks
_NOTHING = 1e-12  # of the largest variance: what is left of none, since vectors are stored as float16
_DIGITS = 6  # of cosines and distances that are compared: products of matrices round by how blocks are cut


def fit(
    training: TrainingVectors,
    seed: int,
    *,
    bytes: int = 16,
    share: float = 0.1,
    rare_bytes: int = 64,
    kept_views: int | None = None,
) -> Prototypes:
    """Give each sample and view a code, and the samples that these describe worst a longer one. Prototypes are class means.

    Rare samples are described worst, since axes and centroids are fitted to what there is much of. A sample counts by
    the mean over its views of the cosine between its centred vector and what the code says of it. What a person called rare
    is among the worst in any case, beyond the share. Longer codes are fitted to the worst samples alone, so they may describe
    few samples no better; a sample keeps the short code then.

    Args:
        training: n samples of d dimensions.
        seed: of the clustering, and of the vectors that it sees where there are more than 32,768.
        bytes: of the code of each view of a sample, 1 to 256; it describes 4 principal axes a byte.
        share: of all samples, whatever their label, that get the longer code where it describes them better, above 0 and up
            to 1, rounded up.
        rare_bytes: of the longer code, from `bytes` to 256; as many as `bytes` means that there is none. No code has more
            bytes than there are axes along which the samples vary.
        kept_views: how many augmented views are kept, beside the plain one; None keeps all.

    Raises:
        SummaryError: a parameter is out of range.
    """
    check_share(share)
    if not 1 <= bytes <= rare_bytes <= MOST_BYTES:
        raise SummaryError(
            f"The bytes of a code are {bytes}, of a rare sample's {rare_bytes}; expected 1 to {MOST_BYTES}, and no fewer for "
            "rare samples."
        )
    views = training.views if kept_views is None else kept_views
    if not 0 <= views <= training.views:
        raise SummaryError(f"The number of views to keep is {views}; expected 0 to {training.views}, which there are.")
    space = _Space(training, views, seed, _AXES_EACH * rare_bytes)
    everyone = np.arange(len(training.ids))
    codes, cosine = space.coded(everyone, bytes)
    found: tuple[Codes, ...] = (codes,)
    remarks = [f"Own vectors, plain and of {views} views, are kept in {codes.book.code_bytes} bytes each."]
    if min(rare_bytes, space.dim) > bytes:
        by_id = np.array(sorted(everyone, key=training.ids.__getitem__))
        worst = by_id[np.argsort(cosine[by_id], kind="stable")]
        rare = np.union1d(worst[: share_of(share, len(worst))], training.rare)
        finer, cosine_of_rare = space.coded(rare, rare_bytes)
        better = cosine_of_rare > cosine[rare]
        gain, rest = rare[better], np.delete(everyone, rare[better])
        parts = (codes.taken(rest), finer.taken(np.flatnonzero(better)))
        found = tuple(part for part in parts if len(part.of))
        remarks.append(
            _on_longer(finer.book.code_bytes, len(everyone), cosine[rare], cosine_of_rare, len(training.rare))
        )
        cosine[gain] = cosine_of_rare[better]
    remarks.append(
        f"The mean cosine of all pictures to what is kept is {cosine.mean():.3f}. What is hidden is told by how far each lies "
        "from what is kept of it, not from its label's mean."
    )
    means = class_mean.fit(training, seed)
    return Prototypes(
        means.vectors,
        means.labels,
        means.source,
        means.fitted,
        tuple(remarks),
        codes=found,
        distances=space.distances(found),
    )


def _on_longer(
    code_bytes: int, count: int, short: npt.NDArray[np.float64], long: npt.NDArray[np.float64], said: int
) -> str:
    """Say to how many of the worst samples longer codes go, by their cosines to what short and long codes say of them.

    Of these samples, `said` were called rare by a person.
    """
    better, or_rare = long > short, f" or that a person called rare ({said})" if said else ""
    if not better.any():
        return (
            f"None of the {len(short)} pictures that these describe worst{or_rare} gains by {code_bytes} bytes; all keep "
            "these."
        )
    which = (
        f"which these describe worst{or_rare}"
        if better.all()
        else f"those that gain of the {len(short)} described worst{or_rare}"
    )
    return (
        f"{better.sum()} of {count} pictures, {which}, have {code_bytes}; their mean cosine to what is kept rises from "
        f"{short[better].mean():.3f} to {long[better].mean():.3f}."
    )


class _Space:
    """The principal axes of centred directions, and what codes along them say of samples.

    Args:
        training: the samples.
        views: how many augmented views there are codes of.
        seed: of all that is fitted.
        most: axes.

    Attributes:
        dim: how many axes there are.
    """

    def __init__(self, training: TrainingVectors, views: int, seed: int, most: int):
        self._training, self._views, self._seed = training, views, seed
        points = self._drawn(np.arange(len(training.ids)))
        products = np.zeros((training.dim, training.dim))
        for start in range(0, len(points), _AT_ONCE):
            some = directions(points[start : start + _AT_ONCE], training.centre).astype(np.float64)
            products += some.T @ some
        squares, axes = np.linalg.eigh(products)
        count = min(most, int((squares > _NOTHING * squares[-1]).sum()))
        self.dim = max(1, count)
        self._axes = axes[:, ::-1][:, : self.dim]  # eigenvalues come in rising order

    def coded(self, samples: Positions, code_bytes: int) -> tuple[Codes, npt.NDArray[np.float64]]:
        """Fit codes to some samples, which rise, and return them with each sample's cosine to what they say of it (m,)."""
        dims = min(_AXES_EACH * code_bytes, self.dim)
        fitted = self._drawn(samples)
        points = np.empty((len(fitted), dims), np.float32)
        for start in range(0, len(fitted), _AT_ONCE):
            points[start : start + _AT_ONCE] = self._along(fitted[start : start + _AT_ONCE], dims)
        book = Codebook.fitted(points, code_bytes, self._seed)
        codes = np.empty((len(samples), self._views + 1, book.code_bytes), np.uint8)
        cosine = np.zeros(len(samples))
        for view in range(self._views + 1):
            for rows, vectors in self._blocks(view, samples):
                points = self._along(vectors, dims)
                codes[rows, view] = book.encode(points)
                said = unit_length(book.decode(codes[rows, view]))
                cosine[rows] += (points.astype(np.float64) * said).sum(axis=1)
        return Codes(samples.astype(np.int32), codes, book), np.round(cosine / (self._views + 1), _DIGITS)

    def distances(self, codes: tuple[Codes, ...]) -> npt.NDArray[np.float64]:
        """Return how far each sample lies from the point towards which its code points from the centre, 0 to 2.

        That point has the sample's own length, since codes tell no lengths; imported vectors may have any. Both are then
        brought to unit length, as prototypes are. A vector that is shorter than the centre may lie at either of two such
        points: the one on its own side counts; and where no point is so short, the shortest.
        """
        training = self._training
        centre = training.centre.astype(np.float64)
        distance = np.empty(len(training.ids))
        for at, vectors in training.blocks(0):
            said = decoded(codes, at, np.zeros_like(at))
            towards = unit_length(said @ self._axes[:, : said.shape[1]].T).astype(np.float64)
            own = vectors.astype(np.float64)
            shortest = -(towards @ centre)  # how far from the centre the shortest point lies
            beyond = np.sqrt(np.maximum(0, shortest**2 + (own**2).sum(axis=1) - centre @ centre))
            before = (np.linalg.norm(own - centre, axis=1) < shortest) & (beyond < shortest)
            away = np.maximum(0, shortest + np.where(before, -beyond, beyond))
            points = unit_length(centre + away[:, None] * towards).astype(np.float64)
            distance[at] = np.linalg.norm(unit_length(own) - points, axis=1)
        return np.round(distance, _DIGITS)

    def _along(self, vectors: npt.NDArray[np.floating], dims: int) -> Vectors:
        """Return the first coordinates (m, dims) of the directions of vectors (m, d)."""
        towards = directions(vectors, self._training.centre).astype(np.float64)
        return np.asarray(towards @ self._axes[:, :dims], np.float32)

    def _blocks(self, view: int, samples: Positions) -> Iterator[tuple[Positions, npt.NDArray[np.float16]]]:
        """Yield (rows in `samples`, their vectors) of one view."""
        row = np.full(len(self._training.ids), -1, np.int64)
        row[samples] = np.arange(len(samples))
        for at, vectors in self._training.blocks(view):
            wanted = row[at] >= 0
            if wanted.any():
                yield row[at][wanted], vectors[wanted]

    def _drawn(self, samples: Positions) -> npt.NDArray[np.float16]:
        """Return vectors of some samples in all views, or up to `_MOST_FITTED` of them, in an order of their own.

        Where there are more, each view has others of the samples, in turn.
        """
        order = self._training.shuffled(samples, self._seed, b"compressed")
        each = min(len(order), max(1, _MOST_FITTED // (self._views + 1)))
        found = np.empty((self._views + 1, each, self._training.dim), np.float16)
        for view in range(self._views + 1):
            turn = order[(view * each + np.arange(each)) % len(order)]
            for rows, vectors in self._blocks(view, turn):
                found[view, rows] = vectors
        return found.reshape(-1, self._training.dim)
