"""The manifest of public sources and the command that lists it."""

import re

import pytest

from data_download.__main__ import describe, main
from data_download.manifest import MANIFEST, UNKNOWN, read_manifest

NAMES = [
    "viton-hd", "viton", "mpv", "deepfashion", "dress-code", "mvg", "weights-viton-hd", "weights-cp-vton-plus",
    "weights-schp-lip", "weights-u2net", "weights-vgg19",
]  # fmt: skip


def test_manifest_has_every_source_once():
    assert [source.name for source in read_manifest()] == NAMES


def test_what_was_withdrawn_offers_nothing():
    withdrawn = [source for source in read_manifest() if source.access == "withdrawn"]
    assert [source.name for source in withdrawn] == ["viton"]
    assert withdrawn[0].files == () and withdrawn[0].sha256 == "none"
    assert "not offered here" in describe(withdrawn[0])


def test_hashes_are_measured_or_said_to_be_unknown():
    for source in read_manifest():
        known = re.fullmatch(r"[0-9a-f]{64}", source.sha256)
        assert known or source.sha256 in (UNKNOWN, "none"), f"{source.name}: {source.sha256}"


def test_no_link_is_invented():
    assert "://" not in MANIFEST.read_text(encoding="utf-8")


def broken(tmp_path, *change):
    path = tmp_path / "manifest.toml"
    text = MANIFEST.read_text(encoding="utf-8")
    assert change[0] in text
    path.write_text(text.replace(*change, 1), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('access = "drive"', 'access = "torrent"'), r"viton-hd: access 'torrent'.*expected one of"),
        (('kind = "data"', 'kind = "music"'), r"viton-hd: kind 'music'"),
        (('licence = "CC BY-NC 4.0"\n', ""), r"\[viton-hd\]: missing \['licence'\]"),
        (('licence = "CC BY-NC 4.0"', 'licence = ""'), r"viton-hd: licence is empty"),
        (('licence = "CC BY-NC 4.0"', 'license = "CC"\nlicence = "CC"'), r"unknown \['license'\]"),
        (('"shadow2496/VITON-HD"', '"VITON-HD"'), r"expected owner/name"),
        (("files = []", 'files = ["viton.zip"]'), r"viton: what was withdrawn lists no files"),
    ],
)
def test_malformed_rows_are_refused(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        read_manifest(broken(tmp_path, *change))


def test_list_prints_every_row(capsys):
    assert main(["list"]) == 0
    told = capsys.readouterr().out
    assert [line for line in told.splitlines() if line and not line.startswith(" ")] == NAMES
    assert max(map(len, told.splitlines())) <= 110
    assert told.count("licence") >= len(NAMES) and "CC BY-NC-SA 4.0" in told


def test_list_is_filtered(capsys):
    main(["list", "--kind", "weights", "--access", "package"])
    told = capsys.readouterr().out
    assert "weights-vgg19" in told and "u2net" not in told
