"""Tables as files for others: CSV, XLSX and the data dictionary, the same bytes for the same figures.

Cells that a spreadsheet would run as formulas begin with a quote; in XLSX texts are texts besides.
"""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from openpyxl import Workbook  # type: ignore[import-untyped]  # it has no types of its own
from openpyxl.styles import Font  # type: ignore[import-untyped]  # as above
from openpyxl.utils import get_column_letter  # type: ignore[import-untyped]  # as above

from api.exports import harmless
from api.figure_table import Column

_ZIP_TIME: Final = (2026, 1, 1, 0, 0, 0)
_CORE: Final = "docProps/core.xml"
_STAMP: Final = re.compile(rb"(<dcterms:(created|modified)[^>]*>)[^<]*")
_WIDEST: Final = 46
_NUMBERS: Final = frozenset({"number", "integer"})
Rows = Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Sheet:
    """A sheet of a workbook."""

    title: str
    columns: Sequence[Column]
    rows: Rows


def as_csv(columns: Sequence[Column], rows: Iterable[Sequence[str]]) -> bytes:
    """Return a table as CSV for spreadsheets (RFC 4180, UTF-8 with its mark)."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([column.name for column in columns])
    for row in rows:
        writer.writerow([harmless(cell) for cell in row])
    return text.getvalue().encode("utf-8-sig")


def as_xlsx(sheets: Sequence[Sheet], *, title: str, language: str) -> bytes:
    """Return sheets as a workbook without a time of making.

    Args:
        sheets: At least one.
        title: Of the workbook's properties.
        language: Likewise.
    """
    book = Workbook()
    book.remove(book.worksheets[0])
    for sheet in sheets:
        _fill(book.create_sheet(sheet.title), sheet)
    book.properties.title, book.properties.language = title, language
    book.properties.creator = "hailong"
    made = io.BytesIO()
    book.save(made)
    return _without_times(made.getvalue())


def as_package(name: str, title: str, resources: Sequence[tuple[str, Sequence[Column]]]) -> bytes:
    """Return a description of CSV files that programs read (Frictionless Data Package).

    Args:
        name: Of the package, small letters.
        title: For people.
        resources: Path of each file with its columns.
    """
    document = {
        "name": name,
        "title": title,
        "resources": [
            {
                "name": path.removesuffix(".csv").replace("/", "-"),
                "path": path,
                "format": "csv",
                "encoding": "utf-8",
                "schema": {
                    "fields": [
                        {"name": item.name, "type": item.kind, "title": item.vi, "description": item.en}
                        for item in columns
                    ],
                    "missingValues": [""],
                },
            }
            for path, columns in resources
        ],
    }
    return (json.dumps(document, ensure_ascii=False, indent=1) + "\n").encode()


def _fill(target: Any, sheet: Sheet) -> None:  # noqa: ANN401 - a worksheet, which has no type
    target.append([column.name for column in sheet.columns])
    for cell in target[1]:
        cell.font = Font(bold=True)
    for at, row in enumerate(sheet.rows, 2):
        for place, (column, text) in enumerate(zip(sheet.columns, row, strict=True), 1):
            if text == "":
                continue
            cell = target.cell(at, place)
            if column.kind in _NUMBERS:
                cell.value = int(text) if column.kind == "integer" else float(text)
            else:
                cell.value = harmless(text)
                cell.data_type = "s"
    for place, column in enumerate(sheet.columns, 1):
        widest = max([len(column.name), *(len(row[place - 1]) for row in sheet.rows)])
        target.column_dimensions[get_column_letter(place)].width = min(_WIDEST, widest + 2)
    target.freeze_panes = "A2"


def _without_times(data: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as made, zipfile.ZipFile(packed, "w") as archive:
        for name in sorted(made.namelist(), key=lambda name: (name != "[Content_Types].xml", name)):
            content = made.read(name)
            if name == _CORE:
                content = _STAMP.sub(rb"\g<1>2026-01-01T00:00:00Z", content)
            archive.writestr(zipfile.ZipInfo(name, _ZIP_TIME), content, zipfile.ZIP_DEFLATED)
    return packed.getvalue()
