"""Reading what the charts drew."""

import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass

HOSTILE = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>&amp;"


def drawing(markup: str, kind: str = "wide", language: str = "en") -> ET.Element:
    """Return one drawing of a chart; parsing fails where anything was not escaped."""
    root = ET.fromstring(f"<root>{markup}</root>")  # noqa: S314  our own
    places = [one for one in root.iter("div") if one.get("lang") == language] or [root]
    (found,) = [one for one in places[0].iter("svg") if kind in one.get("class", "").split()]
    return found


def of_class(drawn: ET.Element, *classes: str) -> list[ET.Element]:
    return [one for one in drawn.iter() if set(classes) <= set(one.get("class", "").split())]


def texts(drawn: ET.Element, name: str) -> list[str]:
    return [one.text or "" for one in of_class(drawn, name) if one.tag == "text"]


def points(element: ET.Element) -> list[tuple[float, float]]:
    pairs = (pair.split(",") for pair in element.get("points", "").split())
    return [(float(x), float(y)) for x, y in pairs]


@dataclass
class Axis:
    """The linear map that two labelled ticks say."""

    low: tuple[float, float]
    high: tuple[float, float]

    def __call__(self, value: float) -> float:
        (v0, p0), (v1, p1) = self.low, self.high
        return p0 + (value - v0) / (v1 - v0) * (p1 - p0)


def axis(drawn: ET.Element, anchor: str, place: str) -> Axis:
    """Read an axis off its tick labels: x has them centred (`middle`), y at the end of the text (`end`)."""
    labels = [one for one in of_class(drawn, "tick") if one.get("text-anchor") == anchor]
    known = []
    for one in labels:
        text = re.sub(r"[\u202f%,]", "", one.text or "").replace("−", "-")
        if re.fullmatch(r"[+-]?[\d.]+", text):
            known.append((float(text), float(one.get(place, "nan"))))
    return Axis(known[0], known[-1])
