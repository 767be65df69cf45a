"""A sample, and the prototypes, as the page shows them: with the parts that the files of embedstore are made of."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from markupsafe import Markup, escape

from embedstore.analysis.odd_reasons import OddSample
from embedstore.analysis.odd_samples import Comparison
from embedstore.analysis.odd_words import compared_with, remarks
from embedstore.pages import Mark, Picture, Text, Words, callout, gallery, histogram, number, picture_row, section
from embedstore.pages.gallery import Address, odd_samples
from embedstore.pages.odd_page import WITHOUT, odd_card
from embedstore.pages.summaries import hidden_modes, warnings_list
from embedstore_inspector.boards import Board
from embedstore_inspector.served import sample_link, thumbnail_address
from embedstore_inspector.words import WORDS

TYPICAL = 4  # pictures shown of a prototype


@dataclass(frozen=True)
class Shower:
    """Shows samples by the address of a small copy, each linked to its own card.

    Attributes:
        board: that they stand on.
        large: the id of the one that is shown large, without a link.
    """

    board: Board
    large: str | None = None

    def __call__(self, sample_id: str, uri: str, caption: Words | None = None) -> Picture:
        """Return the picture of a sample; see `odd_page.Show`."""
        at, large = int(self.board.store.positions([sample_id])[0]), sample_id == self.large
        address = thumbnail_address(self.board.store, at, sample_id, 1024 if large else 320)
        return Picture(sample_id, Address(address), caption, None if large else sample_link(sample_id))


def sample_card(board: Board, comparison: Comparison, position: int) -> Markup:
    """Return the card of a sample: why it is odd, beside its nearest prototype and samples, and how odd others are."""
    (odd,) = comparison.describe([(int(board.order[position]), 0)])
    return Markup('<div class="sample" data-at="{}">{}{}{}</div>').format(
        position,
        odd_samples([odd_card(odd, board.store, Shower(board, odd.id))]),
        _distances(comparison, odd),
        _known(board, position),
    )


def bare_card(board: Board, position: int, why: Text) -> Markup:
    """Return the card of a sample that is compared with nothing, and why."""
    sample = board.store.sample_at(position)
    one = gallery.OddSample(
        Shower(board, sample.id)(sample.id, sample.uri), WITHOUT if sample.label is None else sample.label, why
    )
    return Markup('<div class="sample" data-at="{}">{}{}</div>').format(
        position, odd_samples([one]), _known(board, position)
    )


def _distances(comparison: Comparison, odd: OddSample) -> Markup:
    """Return how far the pictures of its label lie from their prototypes, and where this one is among them."""
    labels = np.array([sample.label for sample in comparison.samples.samples], object)
    marks = []
    if odd.near is not None:
        marks.append(Mark(odd.near, Text(f"near {odd.near:.2f}", f"近い {odd.near:.2f}")))
    if odd.distance is not None:
        marks.append(
            Mark(odd.distance, Text(f"this one {odd.distance:.2f}", f"この画像 {odd.distance:.2f}"), strong=True)
        )
    title = WORDS["distances_without"] if odd.label is None else _filled("distances_of", label=odd.label)
    return histogram(comparison.distances.distance[labels == odd.label], title=title, marks=marks, around=[0])


def _known(board: Board, position: int) -> Markup:
    """Return all that the store knows of a sample beside what its card says: attributes, and the file's name."""
    sample = board.store.sample_at(position)
    rows: list[tuple[Words, str]] = list(sample.attributes.items())
    if sample.uri != sample.id:
        rows.append((Text("File", "ファイル"), sample.uri))
    listed = Markup("").join(Markup("<div><dt>{}</dt><dd>{}</dd></div>").format(name, value) for name, value in rows)
    return Markup('<dl class="facts more">{}</dl>').format(listed) if rows else Markup("")


def prototypes_sheet(board: Board, comparison: Comparison) -> Markup:
    """Return all prototypes: what they hide, how far pictures lie from them, and each with its pictures."""
    summary, counts = comparison.summary, board.store.counts("label")
    said = compared_with(summary, given=comparison.given)
    doubts = remarks(board.store, summary, counts, given=comparison.given)
    hides = section(
        WORDS["hides"],
        hidden_modes([summary]),
        warnings_list([summary]),
        *[callout(Text("Note", "注意"), Text(*one), kind="note") for one in doubts],
        lead=Text(*said),
    )
    return hides + _by_label(comparison) + _prototypes(board, comparison)


def _by_label(comparison: Comparison) -> Markup:
    labels = np.array([sample.label for sample in comparison.samples.samples], object)
    distance = comparison.distances.distance
    far = [0.0, float(distance[np.isfinite(distance)].max(initial=0))]
    charts = []
    for label in sorted(set(labels), key=lambda one: (one is None, one or "")):
        loss = None if label is None else comparison.summary.averaging_loss.get(label)
        marks = (
            []
            if loss is None or loss.near is None
            else [Mark(loss.near, Text(f"near {loss.near:.2f}", f"近い {loss.near:.2f}"))]
        )
        charts.append(
            histogram(distance[labels == label], title=WITHOUT if label is None else label, marks=marks, around=far)
        )
    return section(
        WORDS["distances"],
        Markup('<div class="charts">{}</div>').format(Markup("").join(charts)),
        lead=WORDS["distances_lead"],
    )


@dataclass
class _Prototype:
    """What one prototype stands for."""

    index: int
    name: str
    label: str
    members: list[int] = field(default_factory=list)  # places, the nearest first


def _prototypes(board: Board, comparison: Comparison) -> Markup:
    found = comparison.distances
    listed = [_Prototype(at, name, comparison.summary.labels[at]) for at, name in enumerate(comparison.names)]
    for place in np.argsort(found.member_distance, kind="stable").tolist():
        if found.member_of[place] >= 0:
            listed[int(found.member_of[place])].members.append(place)
    listed.sort(key=lambda one: (one.label, -len(one.members)))
    cards = Markup("").join(_prototype(board, comparison, one) for one in listed)
    return section(
        WORDS["prototypes"], Markup('<div class="prototypes">{}</div>').format(cards), lead=WORDS["prototypes_lead"]
    )


def _prototype(board: Board, comparison: Comparison, one: _Prototype) -> Markup:
    samples, show = comparison.samples, Shower(board)
    loss = comparison.summary.averaging_loss.get(one.label)
    near = None if loss is None else loss.near
    away = comparison.distances.member_distance[one.members]
    modes = Counter(samples.samples[place].mode or WITHOUT_MODE for place in one.members)
    inside = [] if set(modes) <= {WITHOUT_MODE} else [f"{mode} {count}" for mode, count in modes.most_common()]
    facts: list[tuple[Words, Words]] = [
        (WORDS["stands_for"], number(len(one.members), 0)),
        (WORDS["radius"], number(float(comparison.summary.radius[one.index]), 2)),
    ]
    if near is not None:
        facts.append((WORDS["far"], number(int((away > near).sum()), 0)))
    if inside:
        facts.append((WORDS["mode"], " · ".join(inside)))
    pictures = [show(samples.ids[place], "") for place in one.members[:TYPICAL]]
    if len(one.members) > TYPICAL:
        farthest = one.members[-1]
        pictures.append(show(samples.ids[farthest], "", WORDS["farthest"]))
    return Markup(
        '<article class="prototype"><h3>{} <button class="button" data-prototype="{}" data-name="{}">{}</button></h3>'
        '<dl class="facts">{}</dl>{}</article>'
    ).format(
        one.name,
        one.index,
        one.name,
        WORDS["show_members"],
        Markup("").join(
            Markup("<div><dt>{}</dt><dd>{}</dd></div>").format(escape(name), escape(value)) for name, value in facts
        ),
        picture_row(None, pictures, named=False),
    )


WITHOUT_MODE = "–"


def _filled(name: str, **values: str) -> Text:
    text = WORDS[name]
    return Text(text.en.format(**values), text.ja.format(**values))
