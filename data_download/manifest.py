"""The manifest of public data sets and checkpoints (`manifest.toml`), read and checked."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields
from pathlib import Path

MANIFEST = Path(__file__).with_name("manifest.toml")
KINDS = ("data", "weights")
ACCESS = ("direct", "drive", "form", "withdrawn", "package")
UNKNOWN = "recorded on first use"


@dataclass(frozen=True, kw_only=True)
class Source:
    """One row of the manifest; the fields are explained at the top of manifest.toml.

    repository: "owner/name" or "" where the page is not a repository; title: of the official page.
    """

    name: str
    kind: str
    what: str
    repository: str
    title: str
    licence: str
    access: str
    files: tuple[str, ...]
    counts: str
    provenance: str
    sha256: str

    def __post_init__(self) -> None:
        for field, allowed in (("kind", KINDS), ("access", ACCESS)):
            if getattr(self, field) not in allowed:
                raise ValueError(f"{self.name}: {field} {getattr(self, field)!r}, expected one of {', '.join(allowed)}")
        for field in fields(self):
            if field.name not in ("repository", "files") and not getattr(self, field.name):
                raise ValueError(f"{self.name}: {field.name} is empty")
        if self.repository and self.repository.count("/") != 1:
            raise ValueError(f"{self.name}: repository {self.repository!r}, expected owner/name")
        if (self.access == "withdrawn") != (not self.files):
            raise ValueError(f"{self.name}: what was withdrawn lists no files, and everything else lists some")


def read_manifest(path: Path = MANIFEST) -> list[Source]:
    """The manifest's rows in the order of the file.

    Raises ValueError naming row and field for anything missing, unknown or malformed.
    """
    rows = []
    for name, row in tomllib.loads(path.read_text(encoding="utf-8")).items():
        page = row.pop("page", {})
        values = {"repository": page.get("repository", ""), "title": page.get("title", ""), "name": name, **row}
        expected = {field.name for field in fields(Source)}
        if set(values) != expected:
            missing, unknown = sorted(expected - set(values)), sorted(set(values) - expected)
            raise ValueError(f"{path.name} [{name}]: missing {missing}, unknown {unknown}")
        rows.append(Source(**{**values, "files": tuple(values["files"])}))
    return rows
