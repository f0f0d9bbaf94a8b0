"""Small SVG pictures as text: elements with escaped content, numbers rounded, nothing fetched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias
from xml.sax.saxutils import escape, quoteattr

if TYPE_CHECKING:
    from collections.abc import Iterable

Value: TypeAlias = str | int | float
Point: TypeAlias = tuple[float, float]

FONT: Final = "system-ui, 'Noto Sans', 'DejaVu Sans', sans-serif"
_EM: Final = 0.55
"""Mean width of a letter of such a font, in its size; a little too much, so that labels keep apart."""


def element(name: str, content: str = "", /, **attributes: Value) -> str:
    """Return one element; `_` in a name of an attribute stands for `-`, content is taken as it is."""
    given = "".join(
        f" {key.rstrip('_').replace('_', '-')}={quoteattr(_shown(value))}"
        for key, value in attributes.items()
    )
    return f"<{name}{given}>{content}</{name}>" if content else f"<{name}{given}/>"


def text(at: Point, words: str, *, size: float = 13, anchor: str = "start", **attributes: Value) -> str:
    """Return a line of text whose baseline starts (ends, is centred) at a point."""
    place: dict[str, Value] = {"x": at[0], "y": at[1], "font_size": size, "text_anchor": anchor}
    return element("text", escape(words), **place, **attributes)


def line(start: Point, end: Point, **attributes: Value) -> str:
    """Return a straight line."""
    return element("line", x1=start[0], y1=start[1], x2=end[0], y2=end[1], **attributes)


def rectangle(corner: Point, width: float, height: float, **attributes: Value) -> str:
    """Return a rectangle by its upper left corner."""
    return element("rect", x=corner[0], y=corner[1], width=width, height=height, **attributes)


def path(points: Iterable[Point], *, closed: bool = False, **attributes: Value) -> str:
    """Return a line through points, or the polygon of them."""
    name = "polygon" if closed else "polyline"
    return element(name, points=" ".join(f"{_shown(x)},{_shown(y)}" for x, y in points), **attributes)


def drawing(width: float, height: float, parts: Iterable[str], *, title: str, description: str) -> str:
    """Return a whole picture that a screen reader can announce.

    Args:
        width: Width, user units.
        height: Height, user units.
        parts: What is drawn, the lowest first.
        title: Its name, one line.
        description: What it shows, in sentences.
    """
    head = element("title", escape(title), id="title") + element("desc", escape(description), id="desc")
    ground = rectangle((0, 0), width, height, fill="#fff")
    return element(
        "svg",
        "\n".join((head, ground, *parts)) + "\n",
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {_shown(width)} {_shown(height)}",
        width=width,
        height=height,
        role="img",
        aria_labelledby="title desc",
        font_family=FONT,
    )


def text_width(words: str, size: float) -> float:
    """Return about how wide a line of text is, user units."""
    return len(words) * size * _EM


def _shown(value: Value) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
