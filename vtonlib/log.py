"""The log of a run that may be killed: a CSV file that goes on where training goes on."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vtonlib.checkpoints import replacing


class Log:
    """A CSV file to which rows are appended; rows after the step that training resumes at are cut off first."""

    def __init__(self, path: Path, *, resumed_at: int) -> None:
        self.path = path
        self.columns: list[str] = []
        if path.exists():
            with path.open(newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
            kept = [row for row in rows if (row.get("step") or "").isdigit() and int(row["step"]) <= resumed_at]
            self.columns = list(kept[0]) if kept else []
            with replacing(path) as temporary:
                _write_rows(temporary, "w", self.columns, kept, header=bool(kept))

    def add(self, row: Mapping[str, Any]) -> None:
        """Append one row; the first one decides the columns."""
        header = not self.columns
        self.columns = self.columns or list(row)
        _write_rows(self.path, "a", self.columns, [row], header=header)


def _write_rows(path: Path, mode: str, columns: Sequence[str], rows: Sequence[Mapping], *, header: bool) -> None:
    with path.open(mode, newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        if header:
            writer.writeheader()
        writer.writerows(rows)
