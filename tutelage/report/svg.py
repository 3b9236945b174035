"""Small pieces of SVG: elements whose text and attributes are escaped, and a picture with its text alternative."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from tutelage.report.wording import shortened, visible

WIDTH = 400
Cells = tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A drawing, and the same figures as a table."""

    drawing: Markup
    head: Cells
    rows: tuple[Cells, ...]
    note: str = ""


def element(name: str, *content: str, **attributes: object) -> Markup:
    """An element; ``class_`` is the attribute class, an underscore a hyphen. Content that is no Markup is escaped."""
    there = {key: value for key, value in attributes.items() if value is not None}
    written = Markup("").join(
        Markup(' {}="{}"').format(Markup(key.rstrip("_").replace("_", "-")), _short(value))  # noqa: S704  # ours
        for key, value in there.items()
    )
    inner = Markup("").join(part if isinstance(part, Markup) else visible(part) for part in content)
    return Markup("<{0}{1}>{2}</{0}>").format(Markup(name), written, inner)  # noqa: S704  # the name is ours


def _short(value: object) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else visible(str(value))


def words(text: str, x: float, y: float, class_: str = "", *, anchor: str = "start") -> Markup:
    """Text at a place."""
    return element("text", text, x=float(x), y=float(y), class_=class_ or None, text_anchor=anchor)


def name_at(text: str, x: float, y: float, *, most: int, anchor: str = "start") -> Markup:
    """A name that somebody gave, shortened, with the whole as its title."""
    whole = element("title", text)
    return element("text", whole, shortened(visible(text), most), x=float(x), y=float(y), text_anchor=anchor)


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    """A straight line."""
    return element("line", x1=float(x1), y1=float(y1), x2=float(x2), y2=float(y2), class_=class_)


def rect(x: float, y: float, width: float, height: float, class_: str, **more: object) -> Markup:
    """A rectangle."""
    size = {"width": float(max(0, width)), "height": float(max(0, height))}
    return element("rect", x=float(x), y=float(y), **size, class_=class_, **more)


def dot(x: float, y: float, class_: str = "dot", radius: float = 4.5) -> Markup:
    """A dot."""
    return element("circle", cx=float(x), cy=float(y), r=radius, class_=class_)


def path_of(points: Sequence[tuple[float, float]], class_: str) -> Markup:
    """A line through points."""
    return element("polyline", points=" ".join(f"{x:.1f},{y:.1f}" for x, y in points), class_=class_)


def whisker(x1: float, y1: float, x2: float, y2: float) -> Markup:
    """An interval with its two ends, across or upright."""
    dx, dy = (0, 4) if y1 == y2 else (4, 0)
    ends = [line(x - dx, y - dy, x + dx, y + dy, "whisker") for x, y in ((x1, y1), (x2, y2))]
    return Markup("").join([line(x1, y1, x2, y2, "whisker"), *ends])


def drawing(ident: str, title: str, description: str, height: float, parts: Sequence[Markup]) -> Markup:
    """The whole picture, read out as its title and description."""
    names = element("title", title, id=f"{ident}-t") + element("desc", description, id=f"{ident}-d")
    return element(
        "svg",
        names,
        *parts,
        viewBox=f"0 0 {WIDTH} {height:.0f}",
        role="img",
        aria_labelledby=f"{ident}-t {ident}-d",
        xmlns="http://www.w3.org/2000/svg",
    )
