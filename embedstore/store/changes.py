"""Changes by hand: vectors and fields in from NumPy, samples out; all of one `with` becomes one version."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from embedstore.errors import StoreError
from embedstore.images import FIELDS
from embedstore.store.fields import ID, URI, Field, as_stored
from embedstore.store.layout import BLOCK, UNKNOWN_CONTENT, Column, id_keys
from embedstore.store.row_stream import NewRows, RowStream
from embedstore.store.texts import Texts, attribute_field, attribute_fields, checked_texts, refuse_surrogates
from embedstore.store.writing import Writer, next_head
from embedstore.teachers.protocol import EMBEDDING

if TYPE_CHECKING:
    from embedstore.store.embedding_store import EmbeddingStore

_Numbers = npt.NDArray[np.int64]

_FINITE_BELOW = np.uint16(0x7C00)  # of float16's bits without the sign: five times as fast as isfinite
_AT_ONCE = 32 * BLOCK  # samples that are made ready at a time


class StoreWriter:
    """What can be done inside of `with store.write() as writer`.

    A change is open until one of its methods raises, whatever the reason: then it has failed as a whole and nothing of it is
    stored, even where the caller catches that. After the `with` it is over.

    Attributes:
        unknown_pictures: samples whose picture was known, and which got other vectors: nothing says any more which one they are
            of, and a refresh embeds their pictures anew.
    """

    def __init__(self, store: EmbeddingStore, session: Writer):
        self.unknown_pictures = 0
        self._store, self._session = store, session
        self._failure: BaseException | None = None
        self._closed = False
        self._views: int | None = store.views if store.head.columns else None
        self._added: list[npt.NDArray[np.bytes_]] = []  # keys of ids
        self._ended: set[int] = set()  # rows
        self._changed: set[str] = set()  # fields
        self._details: Counter[str] = Counter()
        self._noted: Mapping[str, int] | None = None
        self._lost: dict[str, dict[str, str]] | None = None  # id -> fields
        self._found: list[str] = []  # ids of samples that were lost
        self._rows = RowStream(session, store.fingerprint)

    def add(
        self,
        ids: Sequence[str],
        vectors: npt.ArrayLike,
        *,
        labels: Texts | None = None,
        modes: Texts | None = None,
        groups: Texts | None = None,
        splits: Texts | None = None,
        uris: Sequence[str] | None = None,
        attributes: Mapping[str, Texts] | None = None,
        replace: bool = False,
    ) -> None:
        """Add samples whose vectors the store's teacher gave elsewhere; call it as often as needed, memory stays bounded.

        Args:
            ids: n texts, none of them empty, each once.
            vectors: (n, d), or (views + 1, n, d) where the store keeps views; kept as float16, at the length they have.
            labels: n texts, or None where a sample has none.
            modes: the same.
            groups: the same.
            splits: the same.
            uris: n paths below the image folder; where not given, the ids.
            attributes: name -> n texts; a name is none of `texts.RESERVED`.
            replace: give samples that are there already these vectors; of their fields those that are not given stay, and
                so does what is known of the picture where its plain vector stays the same, bit for bit.

        A sample whose vectors a repair had to give up takes back what was known of it, in the fields that are not given.

        Raises:
            StoreError: the numbers or dimensions do not fit, a value is not finite or too large for float16, an id is
                empty, or in the store already. The change has then failed as a whole.
        """
        with self._step():
            if len(ids):
                self._add(
                    ids,
                    vectors,
                    {"label": labels, "mode": modes, "group": groups, "split": splits, URI: uris},
                    attributes or {},
                    replace=replace,
                )

    def _add(
        self,
        ids: Sequence[str],
        vectors: npt.ArrayLike,
        own: Mapping[str, Texts | None],
        attributes: Mapping[str, Texts],
        *,
        replace: bool,
    ) -> None:
        if not all(issubclass(kind, str) for kind in set(map(type, ids))) or not all(ids):
            raise StoreError("An id is empty or no text; give each sample an id, as a text.")
        names = list(ids) if "".join(ids).isascii() else [as_stored(name) for name in ids]
        refuse_surrogates("id", names)
        stacked = self._checked_shape(len(names), vectors)
        given = dict(own) | attribute_fields(attributes)
        fields = {name: checked_texts(name, texts, len(names)) for name, texts in given.items() if texts is not None}
        if URI in fields:
            fields[URI] = [None if uri == name else uri for uri, name in zip(fields[URI], names, strict=True)]
        replaced = self._replaced(names, replace=replace)
        kept = self._end_replaced(replaced, fields)
        self._take_back_lost(names, fields, kept)
        fields |= kept
        fields[ID] = list(names)
        keys = id_keys(names)
        for start in range(0, len(names), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            values = _as_float16(names[part], stacked[:, part])
            told = {name: texts[part] for name, texts in fields.items()}
            self._rows.append(NewRows(keys[part], [values], told, self._contents(replaced[part], values[0])))
        self._added.append(keys.reshape(-1).view("S16"))
        self._details["new"] += len(names)

    def delete(self, ids: Iterable[str]) -> int:
        """Take samples out, and return how many; earlier versions keep them until a compaction.

        A later build from a folder that still holds their pictures adds them again; the split `aside` keeps them out of
        all work instead.

        Raises:
            StoreError: an id is not in the store.
        """
        with self._step():
            rows = rows_of(self._store, ids)
            rows = rows[~np.isin(rows, list(self._ended))]
            if len(rows):
                self._end(rows)
                self._details["removed"] += len(rows)
            return len(rows)

    def set(self, field: str, texts: Mapping[str, str | None]) -> int:
        """Change a field of some samples, and return of how many it was another.

        Args:
            field: `label`, `mode`, `group`, `split`, or an attribute of your own.
            texts: id -> the new text, or None for none.

        Raises:
            StoreError: an id is not in the store or no longer in this change, or a text is empty or no split.
        """
        with self._step():
            return self._set(field, texts)

    def _set(self, field: str, texts: Mapping[str, str | None]) -> int:
        name, positions, wanted = _told(self._store, field, texts)
        ended = np.isin(self._store.rows[positions], list(self._ended))
        if ended.any():
            gone = list(texts)[int(np.argmax(ended))]
            raise StoreError(
                f"The sample '{gone}' was deleted or replaced in this change; give its texts to add, or set them in a change "
                "of its own."
            )
        changed = _others(self._by_now(name), positions, wanted)
        rows = self._store.rows[positions[changed]]
        if changed:
            version = self._session.begin()
            now = [wanted[at] for at in changed]
            self._session.write(lambda tables: tables.put_fields(rows, {name: now}, version), under=version)
            self._changed.add(name)
            self._details["updated"] += len(changed)
        return len(changed)

    def note(self, details: Mapping[str, int]) -> None:
        """Say in the log how much of what was done, in place of how many samples are new, changed, updated and removed."""
        with self._step():
            self._noted = dict(details)

    def publish(self, action: str) -> None:
        """Make the changes visible as one version; the store calls it at the end of the `with`.

        Raises:
            StoreError: a method raised before, or an id was added twice; nothing is stored.
        """
        with self._step():
            details = {name: count for name, count in self._details.items() if count}
            if not details:
                return
            self._rows.settle()
            self._refuse_duplicates()
            head = next_head(self._store.head)
            if self._added and not head.columns:
                columns = (Column(head.space, EMBEDDING, view) for view in range((self._views or 0) + 1))
                head = replace(head, columns=tuple(columns))
            self._session.publish(head, action, details=self._noted or details, found=self._found)

    def close(self) -> None:
        """Let go of what is under way; the store calls it whatever ends the `with`."""
        self._closed = True
        self._rows.close()

    @contextmanager
    def _step(self) -> Iterator[None]:
        """Do one thing that either ends well or makes the whole change fail: no half of it may ever be published."""
        if self._closed:
            raise StoreError("This change is over; begin another with store.write().")
        if self._failure is not None:
            raise StoreError(
                f"This change failed before, so nothing of it is stored ({self._failure}); begin another with store.write()."
            ) from self._failure
        try:
            yield
        except BaseException as error:
            self._failure = error
            raise

    def _checked_shape(self, count: int, vectors: npt.ArrayLike) -> npt.NDArray[np.floating]:
        """Return vectors as (views + 1, n, d)."""
        outputs = self._store.space["outputs"]
        if list(outputs) != [EMBEDDING]:
            raise StoreError(
                f"The store keeps the outputs {', '.join(outputs)} of its teacher; only a build can give them all."
            )
        given = np.asarray(vectors)
        given = given[None] if given.ndim == 2 else given
        expected = ("views + 1" if self._views is None else str(self._views + 1), count, self._store.dim)
        fits = given.ndim == 3 and given.shape[1:] == expected[1:] and given.shape[0] > 0
        if not fits or self._views not in (None, given.shape[0] - 1):
            raise StoreError(
                f"The vectors have the shape {np.shape(vectors)}; expected ({', '.join(map(str, expected))}): {count} ids, "
                f"and a teacher that gives {self._store.dim} numbers."
            )
        if given.dtype.kind != "f":
            raise StoreError(f"The vectors are of the type {given.dtype}; expected floating-point numbers.")
        self._views = len(given) - 1
        return given

    def _replaced(self, ids: list[str], *, replace: bool) -> _Numbers:
        """Return the positions (n,) of the samples that are to be replaced, -1 where one is new."""
        positions = self._store.find(ids) if len(self._store) else np.full(len(ids), -1, np.int64)
        there = np.flatnonzero(positions >= 0)
        positions[there[np.isin(self._store.rows[positions[there]], list(self._ended))]] = -1
        there = np.flatnonzero(positions >= 0)
        if len(there) and not replace:
            raise StoreError(
                f"{len(there)} of the {len(ids)} samples are in the store already, such as '{ids[there[0]]}'; leave them out, or "
                "replace them."
            )
        return positions

    def _end_replaced(self, replaced: _Numbers, fields: Mapping[str, list[str | None]]) -> dict[str, list[str | None]]:
        """End the rows of samples that are replaced, and return what they had in fields that are not given anew."""
        kept: dict[str, list[str | None]] = {}
        there = np.flatnonzero(replaced >= 0)
        if not len(there):
            return kept
        for name in dict.fromkeys([*self._store.field_names, *self._changed]):
            if name not in fields and name != ID:
                texts: list[str | None] = [None] * len(replaced)
                before = self._by_now(name)
                for at in there.tolist():
                    texts[at] = before.at(int(replaced[at]))
                if any(text is not None for text in texts):
                    kept[name] = texts
        self._end(self._store.rows[replaced[there]])
        self._details["changed"] += len(there)
        self._details["new"] -= len(there)
        return kept

    def _contents(self, replaced: _Numbers, plain: npt.NDArray[np.float16]) -> npt.NDArray[np.uint8]:
        """Return the hashes (n, 16) of the pictures that plain vectors (n, d) are of: those of replaced samples with the same."""
        found = np.tile(np.frombuffer(UNKNOWN_CONTENT, np.uint8), (len(plain), 1))
        if not (replaced >= 0).any():
            return found
        contents = self._store.alive["content"][replaced]
        known = np.flatnonzero((replaced >= 0) & contents.any(axis=1))
        if len(known):
            before = self._store.read(replaced[known]).astype(np.float16)
            same = known[(before.view(np.uint16) == plain[known].view(np.uint16)).all(axis=1)]
            found[same] = contents[same]
            self.unknown_pictures += len(known) - len(same)
        return found

    def _take_back_lost(
        self, ids: list[str], fields: Mapping[str, list[str | None]], kept: dict[str, list[str | None]]
    ) -> None:
        """Add to `kept` what is known of samples whose vectors were lost, in fields that are not given anew."""
        if self._lost is None:
            self._lost = {own[ID]: own for own in self._session.read(lambda tables: tables.lost())}
        for at, sample_id in enumerate(ids if self._lost else ()):
            known = self._lost.pop(sample_id, None)
            if known is None:
                continue
            self._found.append(sample_id)
            if sample_id not in self._store:  # else it came back before, and what it has now counts
                for name in known.keys() - fields.keys() - {ID}:
                    kept.setdefault(name, [None] * len(ids))[at] = known[name]

    def _end(self, rows: _Numbers) -> None:
        version = self._session.begin()
        self._session.change_rows(rows, died=version, under=version)
        self._ended.update(rows.tolist())

    def _by_now(self, name: str) -> Field:
        """Return a field of the samples that this change began with, with what it has set since."""
        if name not in self._changed:
            return self._store.text_field(name)
        version = self._session.begin()
        return self._session.read(lambda tables: tables.field(name, version))[self._store.rows]

    def _refuse_duplicates(self) -> None:
        """Refuse an id that was added twice; only now, since so a million of them need 16 MB and one sort."""
        if self._added:
            twice = int((np.unique(np.concatenate(self._added), return_counts=True)[1] > 1).sum())
            if twice:
                raise StoreError(
                    f"{twice} ids were added more than once; nothing was stored. Give each sample an id of its own."
                )


def rows_of(store: EmbeddingStore, ids: Iterable[str]) -> _Numbers:
    """Return the rows (n,) of some samples, ascending; those that `StoreWriter.delete` takes out.

    Raises:
        StoreError: an id is not in the store.
    """
    named = list(ids)
    refuse_surrogates("id", named)
    return store.rows[np.unique(store.positions(named))]


def count_others(store: EmbeddingStore, field: str, texts: Mapping[str, str | None]) -> int:
    """Return of how many samples `StoreWriter.set` would change a field; it only reads, and refuses the same."""
    name, positions, wanted = _told(store, field, texts)
    return len(_others(store.text_field(name), positions, wanted))


def _told(store: EmbeddingStore, field: str, texts: Mapping[str, str | None]) -> tuple[str, _Numbers, list[str | None]]:
    """Return the name of a field in the store, the positions (n,) of some samples, and their texts as they are stored."""
    refuse_surrogates("id", texts)
    positions = store.positions(list(texts))
    if field == URI:
        raise StoreError("The path of a sample can't be set; give it to add, as one of its uris.")
    name = field if field in FIELDS else attribute_field(field)
    return name, positions, checked_texts(name, list(texts.values()), len(texts))


def _others(before: Field, positions: _Numbers, wanted: list[str | None]) -> list[int]:
    """Return the places of the texts that their samples do not have already."""
    return [at for at, (one, text) in enumerate(zip(positions, wanted, strict=True)) if before.at(one) != text]


def _as_float16(ids: Sequence[str], vectors: npt.NDArray[np.floating]) -> npt.NDArray[np.float16]:
    """Return a copy of vectors (views + 1, n, d) as they are stored."""
    with np.errstate(over="ignore"):
        stored = np.array(vectors, np.float16, order="C")
    if (stored.view(np.uint16) & 0x7FFF).max(initial=0) >= _FINITE_BELOW:
        at = int(np.argmin(np.isfinite(stored).all(axis=(0, 2))))
        raise StoreError(
            f"The vector of '{ids[at]}' holds values that are not finite, or above 65504, which float16 can't hold."
        )
    return stored
