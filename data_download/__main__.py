"""`python -m data_download list`: the public data sets and checkpoints, their terms, and where they are had."""

from __future__ import annotations

import argparse
import sys
import textwrap

from data_download.manifest import ACCESS, KINDS, Source, read_manifest

HOW = {
    "direct": "a file linked on the page",
    "drive": "a file-sharing link on the page",
    "form": "a request form or a signed agreement",
    "withdrawn": "withdrawn by its authors: not offered here",
    "package": "comes with a Python package",
}


def describe(source: Source) -> str:
    """One manifest row as a few lines of text."""
    page = f"github.com/{source.repository}, " if source.repository else ""
    lines = {
        "what": source.what, "licence": source.licence, "access": HOW[source.access],
        "page": f"{page}\"{source.title}\"", "files": ", ".join(source.files) or "none", "counts": source.counts,
        "provenance": source.provenance, "sha256": source.sha256,
    }  # fmt: skip
    body = [
        textwrap.fill(text, 110, initial_indent=f"  {key:11s}", subsequent_indent=" " * 13)
        for key, text in lines.items()
    ]
    return "\n".join([source.name, *body])


def main(arguments: list[str] | None = None) -> int:
    """Run a command. -> exit code."""
    parser = argparse.ArgumentParser(prog="python -m data_download", description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    listing = commands.add_parser("list", help="print the manifest")
    listing.add_argument("--kind", choices=KINDS, help="only data sets or only weights")
    listing.add_argument("--access", choices=ACCESS, help="only what is had in this way")
    asked = parser.parse_args(arguments)
    rows = [s for s in read_manifest() if asked.kind in (None, s.kind) and asked.access in (None, s.access)]
    print(*map(describe, rows), sep="\n\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
