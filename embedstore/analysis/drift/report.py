"""What is told of a batch: plain figures, as they go to JSON, to the terminal and to the page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from embedstore.pages.words import Text

Kind = Literal["quiet", "too-few", "camera", "new-defect", "line", "unclear"]


@dataclass(frozen=True)
class LabelRow:
    """The batch in one label, the one of the nearest prototype.

    Attributes:
        label: its name; '' for pictures of the store without one.
        pictures: of the batch.
        share, usual_share: of the batch and of the store that are of this label.
        beyond: share of the batch's that lie beyond the radius of their prototype; None where there are none.
        usual_beyond: the same of held-out pictures of the store.
        shift, usual_shift, spread, usual_spread: see `comparison.Moved`; None where nothing can be compared.
    """

    label: str
    pictures: int
    share: float
    usual_share: float
    beyond: float | None
    usual_beyond: float | None
    shift: float | None
    usual_shift: float | None
    spread: float | None
    usual_spread: tuple[float, float] | None


@dataclass(frozen=True)
class PrototypeRow:
    """The batch around one prototype.

    Attributes:
        name: of the prototype: its label, and its number where the label has several.
        label: that it speaks for.
        pictures, share, usual_share, beyond, usual_beyond: as of a label.
        radius: within which 95 of 100 held-out pictures lie.
        shift: between the mean of the batch's pictures around it and that of the store's.
        spread: of the batch's around their mean, as a multiple of the store's; None of fewer than two.
        typical: id of the store's picture nearest to it.
    """

    name: str
    label: str
    pictures: int
    share: float
    usual_share: float
    beyond: float | None
    usual_beyond: float | None
    radius: float
    shift: float | None
    spread: float | None
    typical: str


@dataclass(frozen=True)
class MovedPicture:
    """A picture of the batch that lies far from what the store has.

    Attributes:
        id, uri, group: of the picture.
        percentile: of 100 pictures of the store, so many stand less apart from those of other parts, of the batch or the store.
        outside: whether it stands apart more than 99 of 100 do.
        distance: to its nearest prototype, held out.
        radius: of that prototype.
        prototype, label: its name and its label.
        typical: id of the store's picture nearest to the prototype.
    """

    id: str
    uri: str
    group: str | None
    percentile: float
    outside: bool
    distance: float
    radius: float
    prototype: str
    label: str
    typical: str


@dataclass(frozen=True)
class Light:
    """The batch's pictures themselves against the store's, within labels; see `light.light_of`.

    Attributes:
        p: how often an unchanged batch differs as much in these.
        level, contrast, sharpness: of the batch's, as multiples of the store's (ratios of geometric means).
        explained: share of the difference that one shift of all explains; see `comparison.Common`.
    """

    p: float
    level: float
    contrast: float
    sharpness: float
    explained: float


@dataclass(frozen=True)
class DriftReport:
    """Whether a batch is still what a store describes.

    Attributes:
        drifted: whether a test says that it is not.
        kind: what kind of drift, or `quiet`, or `too-few` where nothing was found and so few pictures could not show it.
        sentences: the answer in plain words, the verdict first.
        remarks: what a reader should know.
        p: of all tests together: how often an unchanged batch looks as different.
        p_whole, p_few: of the two tests in the teacher's space by themselves; see `comparison`.
        light: of the pictures themselves; None where pictures are not at hand, and a remark says why.
        p_mix: of the mix of labels, which alone is no drift.
        false_alarms: the rate that was asked for.
        pictures, parts: of the batch; where parts are not known, as many as so many pictures of the store show.
        parts_known: whether every picture of the batch has a group.
        compared: pictures of the store that the tests used, and `reference`: those that radii were made from.
        left_out: pictures of the store of the batch's own parts.
        outside: how many of the batch's pictures stand apart more than 99 of 100 of the store do.
        clustered: whether these are near each other; None where one part can't tell.
        explained, alike: of a common shift in the teacher's space; see `comparison.Common`.
        p_rest: of the batch without the pictures outside.
        beyond, usual_beyond: share of the pictures beyond their prototype's radius, and of held-out ones of the store.
        labels, prototypes: rows of tables.
        moved: pictures that moved most, the farthest first.
        store_version, summary, seed: what was compared with; `summary` None: prototypes made for this.
        set_aside: path -> why a picture could not be used.
    """

    drifted: bool
    kind: Kind
    sentences: list[Text]
    remarks: list[Text]
    p: float
    p_whole: float
    p_few: float
    p_mix: float
    light: Light | None
    false_alarms: float
    pictures: int
    parts: int
    parts_known: bool
    compared: int
    reference: int
    left_out: int
    outside: int
    clustered: bool | None
    explained: float
    alike: float
    p_rest: float
    beyond: float
    usual_beyond: float
    labels: list[LabelRow]
    prototypes: list[PrototypeRow]
    moved: list[MovedPicture]
    store_version: int
    summary: str | None
    seed: int
    set_aside: dict[str, str]
