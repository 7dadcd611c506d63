"""Pages of a report, in Markdown and as one HTML file, from the same blocks."""

from __future__ import annotations

import base64
import html
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mms_ocr.evaluation.benchmark_scores import markdown_table
from mms_ocr.utils.escaping import printable

# Markup of CommonMark and GitHub that text may have by chance, anywhere and at the start of lines.
_MARKUP = re.compile(r"[\\`*\[\]<>&|~$]|(?<![^\W_])_|_(?![^\W_])|:(?=[\w+-]+:)")
_LINE_START = re.compile(r"^(\s*\d*)([-+=.)#])")
_EDGE_SPACES = re.compile(r"(?<= ) | (?= )|^ | $")
# Marks that change the direction of all that follows.
_DIRECTIONS = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_ISOLATED = "\u2068{}\u2069"
_NOTHING = "nothing"
# The page may use nothing but itself.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


@dataclass(frozen=True)
class Label:
    """Text as it is in the data or was read, with spaces at its ends shown."""

    text: str


@dataclass(frozen=True)
class Picture:
    """Picture of the report: its file in ``pictures/``, what it shows, and a caption."""

    file: str
    alt: str
    caption: str = ""


Cell = str | Label | Picture


@dataclass(frozen=True)
class Paragraph:
    """A paragraph; ``is_lead`` for the first of the report."""

    text: str
    is_lead: bool = False


@dataclass(frozen=True)
class Table:
    """Table with a caption; columns that are not of text are aligned to the right."""

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    text_columns: Sequence[int] = (0,)
    strong_row: int | None = None  # a row to point out


@dataclass(frozen=True)
class Pictures:
    """Pictures beside each other, or below each other on a narrow page."""

    pictures: Sequence[Picture]


@dataclass(frozen=True)
class Code:
    """Lines to be typed."""

    text: str


Block = Paragraph | Table | Pictures | Code


@dataclass(frozen=True)
class Section:
    """Part of a report."""

    title: str
    blocks: Sequence[Block]


def to_markdown(title: str, sections: Sequence[Section]) -> str:
    """Write a report in Markdown, with its pictures as files in ``pictures/``."""
    parts = [f"# {_markdown_text(title)}"]
    for section in sections:
        parts.append(f"## {_markdown_text(section.title)}")
        parts += [_markdown_block(block) for block in section.blocks]
    return "\n\n".join(parts) + "\n"


def to_html(title: str, sections: Sequence[Section], pictures: Mapping[str, bytes]) -> str:
    """Write a report as an HTML page that needs no other file, with PNG ``pictures`` by file."""
    body = "\n".join(
        f"<section>\n<h2>{_html_text(section.title)}</h2>\n"
        + "\n".join(_html_block(block, pictures) for block in section.blocks)
        + "\n</section>"
        for section in sections
    )
    style = Path(__file__).with_name("report.css").read_text(encoding="utf-8")
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<title>{_html_text(title)}</title>
<style>
{style}</style>
</head>
<body>
<main>
<h1>{_html_text(title)}</h1>
{body}
</main>
</body>
</html>
"""


def _visible(text: str) -> str:
    """Escape what cannot be seen or written: controls, marks of direction, surrogates."""
    text = printable(_writable(text))
    return _DIRECTIONS.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _writable(text: str) -> str:
    """Escape lone surrogates: bytes of file names that are not UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode()


def _label_text(label: Label) -> str:
    return _EDGE_SPACES.sub("␣", _visible(label.text))


def _markdown_text(text: str) -> str:
    """Escape markup as numeric references, which are text everywhere, also in tables."""
    return _MARKUP.sub(lambda match: f"&#{ord(match[0])};", _visible(text))


def _markdown_paragraph(text: str) -> str:
    text = _markdown_text(text)
    return _LINE_START.sub(lambda match: f"{match[1]}&#{ord(match[2])};", text)


def _markdown_cell(cell: Cell) -> str:
    if isinstance(cell, Picture):
        return _markdown_picture(cell)
    if isinstance(cell, str):
        return _markdown_text(cell)
    text = _markdown_text(_label_text(cell))
    if any(unicodedata.bidirectional(char) in ("R", "AL") for char in text):
        text = _ISOLATED.format(text)
    return text or f"*{_NOTHING}*"


def _markdown_picture(picture: Picture) -> str:
    return f"![{_markdown_text(picture.alt)}](pictures/{picture.file})"


def _markdown_block(block: Block) -> str:
    if isinstance(block, Paragraph):
        text = _markdown_paragraph(block.text)
        return f"**{text}**" if block.is_lead else text
    if isinstance(block, Table):
        rows = [[_markdown_cell(cell) for cell in row] for row in (block.head, *block.rows)]
        if block.strong_row is not None:
            rows[block.strong_row + 1][0] = f"**{rows[block.strong_row + 1][0]}**"
        return f"{_markdown_paragraph(block.caption)}\n\n{markdown_table(rows, block.text_columns)}"
    if isinstance(block, Pictures):
        return "\n\n".join(
            "\n\n".join(filter(None, [_markdown_picture(each), _markdown_paragraph(each.caption)]))
            for each in block.pictures
        )
    longest = max(map(len, re.findall("`+", block.text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}console\n{_writable(block.text)}\n{fence}"


def _html_text(text: str) -> str:
    return html.escape(_visible(text))


def _html_cell(cell: Cell, pictures: Mapping[str, bytes]) -> str:
    if isinstance(cell, Picture):
        return _html_picture(cell, pictures)
    if isinstance(cell, str):
        return _html_text(cell)
    text = html.escape(_label_text(cell))
    return f"<bdi>{text}</bdi>" if text else f"<i>{_NOTHING}</i>"


def _html_picture(picture: Picture, pictures: Mapping[str, bytes]) -> str:
    data = base64.b64encode(pictures[picture.file]).decode()
    return f'<img alt="{_html_text(picture.alt)}" src="data:image/png;base64,{data}">'


def _html_block(block: Block, pictures: Mapping[str, bytes]) -> str:
    if isinstance(block, Paragraph):
        start = '<p class="lead">' if block.is_lead else "<p>"
        return f"{start}{_html_text(block.text)}</p>"
    if isinstance(block, Table):
        return _html_table(block, pictures)
    if isinstance(block, Pictures):
        figures = [
            f"<figure>{_html_picture(each, pictures)}"
            f"<figcaption>{_html_text(each.caption)}</figcaption></figure>"
            for each in block.pictures
        ]
        return f'<div class="pictures">{"".join(figures)}</div>'
    return f'<pre tabindex="0"><code>{html.escape(_writable(block.text))}</code></pre>'


def _html_table(table: Table, pictures: Mapping[str, bytes]) -> str:
    kinds = ["" if i in table.text_columns else ' class="number"' for i in range(len(table.head))]
    head = "".join(
        f'<th scope="col"{kind}>{_html_text(name)}</th>' for name, kind in zip(table.head, kinds)
    )
    rows = []
    for number, row in enumerate(table.rows):
        first, *others = (_html_cell(cell, pictures) for cell in row)
        cells = [f'<th scope="row"{kinds[0]}>{first}</th>']
        cells += [f"<td{kind}>{cell}</td>" for cell, kind in zip(others, kinds[1:])]
        mark = ' class="strong"' if number == table.strong_row else ""
        rows.append(f"<tr{mark}>{''.join(cells)}</tr>")
    top = f"<thead><tr>{head}</tr></thead>\n" if any(table.head) else ""
    body = f"{top}<tbody>\n" + "\n".join(rows) + "\n</tbody>"
    caption = _html_text(table.caption)
    # Focusable, so that a wide table can be scrolled with the keyboard.
    scrolled = f'<div class="scrolled" role="region" aria-label="{caption}" tabindex="0">'
    return (
        f'<figure class="table"><figcaption>{caption}</figcaption>\n'
        f"{scrolled}<table>\n{body}</table></div></figure>"
    )
