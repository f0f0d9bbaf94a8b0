"""One page with timeline, tracks and pictures of an inspected session; nothing on it is fetched."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from inference.inspection_words import Words

_STYLE: Final = (
    "body{font:16px/1.45 system-ui,sans-serif;max-width:62rem;margin:1rem auto;padding:0 1rem;color:#111}"
    "img{width:100%;height:auto;border:1px solid #999}"
    ".pictures{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(22rem,100%),1fr));gap:1rem}"
    ".pictures{padding:0}.pictures li{list-style:none}.scroll{overflow-x:auto}h1{overflow-wrap:anywhere}"
    "table{border-collapse:collapse}"
    "th,td{border:1px solid #999;padding:.25rem .6rem;text-align:right}"
)


def page(
    *,
    language: str,
    words: Words,
    title: str,
    label: str | None,
    told: str,
    tracks: Sequence[Mapping[str, object]],
    pictures: Iterable[tuple[str, str]],
) -> str:
    """Return the page as HTML.

    Args:
        language: Code of the language.
        words: Its words.
        title: Name of the recording.
        label: What the recording says of itself; None for nothing.
        told: What the timeline shows, in a sentence.
        tracks: Rows of the table of tracks, all with the same keys.
        pictures: Address and description of each picture, relative to the page.
    """
    head = "".join(f'<th scope="col">{escape(key)}</th>' for key in (tracks[0] if tracks else ()))
    rows = "".join(
        "<tr>" + "".join(f"<td>{escape(str(value))}</td>" for value in row.values()) + "</tr>"
        for row in tracks
    )
    shown = "".join(
        f'<li><img src="{escape(source)}" alt="{escape(description)}" loading="lazy"></li>'
        for source, description in pictures
    )
    table = (
        f'<h2>{escape(words.tracks)}</h2><div class="scroll" tabindex="0" role="region" '
        f'aria-label="{escape(words.tracks)}"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
        if tracks
        else ""
    )
    told_first = "".join(f"<p>{escape(line)}</p>" for line in (label, words.not_calibrated) if line)
    return (
        f'<!doctype html><html lang="{language}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body><main>"
        f"<h1>{escape(title)}</h1>{told_first}"
        f'<h2>{escape(words.timeline)}</h2><img src="timeline.svg" alt="{escape(told)}">'
        f'<p><a href="timeline.csv">timeline.csv</a> · <a href="session.json">session.json</a></p>{table}'
        f'<h2>{escape(words.pictures)}</h2><ul class="pictures">{shown}</ul></main></body></html>\n'
    )
