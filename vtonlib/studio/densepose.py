"""DensePose on the studio's body: which of the 24 parts a vertex belongs to, and its U and V.

Parts, and the way U and V run on each, follow the published charts (Guler et al. 2018): the part list of the data
format of DensePose-COCO (2018_COCO_DensePose/data_format.md); front and back (1 = back, 2 = front of the torso) as the
authors say in detectron2 issue 513; for the other halves and for the directions of U and V, what the two IUV pictures
and the texture atlas show that the authors published as examples (DensePoseData/demo_data/synth_UV_example.png,
infer_out/demo_im_IUV.png, demo_data/texture_from_SURREAL.png): where on the body each part lies, and whether U and V
grow or shrink along a limb and across it. `CHARTS` is that table. The forearm's halves are the palm's side (19, 20)
and the side of the back of the hand (21, 22), whichever way the arm is turned; they are often called front and back.

What differs: within a part, the published U and V come from a multidimensional scaling of another body mesh, which has
terms of its own and is not used here. The studio's U and V are length along a bone and angle around it, stretched to
[0,1] over the part: the same corner of a part is the same corner, but the values in between are not metric with
DensePose's. On the feet V is only roughly theirs (an angle that starts below the sole), and on bent fingers U does not
tell back from palm.

Convention: metres; z up, the person faces -y, the person's left is +x. Left and right are the person's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

RIGHT, FRONT, UP = np.array([-1.0, 0.0, 0.0]), np.array([0.0, -1.0, 0.0]), np.array([0.0, 0.0, 1.0])
ALONG, AROUND = "along", "around"


@dataclass(frozen=True)
class Chart:
    """How U and V run on a part.

    start, end: bones between whose heads the length "along" grows from 0 to 1 ({} is L or R). middle, high: the angle
    "around" that axis is 0.5 towards `middle` and grows towards `high`, names of `directions`. u: ALONG or AROUND, v is
    the other. flip_u: U is 1 minus that.
    """

    start: str
    end: str
    middle: str
    high: str
    u: str = ALONG
    flip_u: bool = False


# (parts of the right side, parts of the left side) -> chart; both sides are mirror images unless given apart.
CHARTS = {
    (1,): Chart("neck01", "spine05", "back", "right"),  # U from neck to hips, V from left to right
    (2,): Chart("neck01", "spine05", "front", "right"),
    (3,): Chart("wrist.{}", "finger3-3.{}", "little", "palm", AROUND),  # U: thumb, back, little finger, palm, thumb
    (4,): Chart("wrist.{}", "finger3-3.{}", "little", "palm", AROUND, flip_u=True),
    (5,): Chart("foot.{}", "toe3-1.{}", "up", "outer"),  # U from heel to toes
    (6,): Chart("foot.{}", "toe3-1.{}", "up", "outer", flip_u=True),
    (7, 8): Chart("upperleg01.{}", "lowerleg01.{}", "back", "outer"),  # U from hip to knee, V from inside to outside
    (9, 10): Chart("lowerleg01.{}", "upperleg01.{}", "front", "inner"),  # U from knee to hip, V from outside to inside
    (11, 12): Chart("foot.{}", "lowerleg01.{}", "back", "outer"),  # U from ankle to knee
    (13, 14): Chart("lowerleg01.{}", "foot.{}", "front", "outer"),  # U from knee to ankle
    (16, 15): Chart("upperarm01.{}", "lowerarm01.{}", "arm_front", "arm_outer"),  # U from shoulder to elbow
    (18, 17): Chart("upperarm01.{}", "lowerarm01.{}", "arm_back", "arm_outer"),  # V from the armpit outwards
    (20, 19): Chart("wrist.{}", "lowerarm01.{}", "palm", "little"),  # U from wrist to elbow, V from thumb's side
    (22, 21): Chart("lowerarm01.{}", "wrist.{}", "hand_back", "thumb"),  # U from elbow to wrist, V to thumb's side
    (23,): Chart("neck01", "head", "right", "front", AROUND),  # U from the back of the head to the face, V upwards
    (24,): Chart("neck01", "head", "left", "back", AROUND),  # U from the face to the back of the head
}
LEFT_PARTS = (4, 5, 8, 10, 12, 14, 15, 17, 19, 21, 24)

# Parts by body region, named by the beginnings of bone names: (right front, right back, left front, left back).
_HEAD, _TORSO = (23, 23, 24, 24), (2, 1, 2, 1)
_REGIONS = {
    ("head", "eye", "neck"): _HEAD, ("upperarm",): (16, 18, 15, 17), ("lowerarm",): (20, 22, 19, 21),
    ("wrist", "finger", "metacarpal"): (3, 3, 4, 4), ("upperleg",): (9, 7, 10, 8), ("lowerleg",): (13, 11, 14, 12),
    ("foot", "toe"): (6, 6, 5, 5),
}  # fmt: skip
# Bones of the axis, and direction, of each region that is cut in a front and a back half.
_CUTS = {
    (16, 18, 15, 17): ("upperarm01", "lowerarm01", "arm_front"), (20, 22, 19, 21): ("lowerarm01", "wrist", "palm"),
    (9, 7, 10, 8): ("upperleg01", "lowerleg01", "front"), (13, 11, 14, 12): ("lowerleg01", "foot", "front"),
}  # fmt: skip


def densepose_fields(
    vertices: np.ndarray, heads: Mapping[str, np.ndarray], bone_names: tuple[str, ...], skin_weights: sp.csr_matrix
) -> tuple[np.ndarray, np.ndarray]:
    """Part (V,) uint8 1..24 and (u, v) (V,2) float32 in [0,1] of the canonical body.

    vertices (V,3); heads: bone name -> (3,) head, in the order of bone_names; skin_weights (V,104).
    """
    part = _parts(vertices, heads, _regions(bone_names, skin_weights))
    return part, _chart_values(vertices, part, vertices, part, heads)


def cloth_densepose(rest: np.ndarray, body_vertex: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Part (N,) uint8 and (u, v) (N,2) of what is worn: points `rest` (N,3) on the canonical body, each with the body
    vertex (N,) that it lies on. The part follows from that vertex and the point's side of the limb, u and v from the
    point itself by the body's charts, so that they run evenly over the cloth."""
    from .body import body_pack

    pack = body_pack()
    heads = dict(zip(pack.bone_names, pack.canonical.heads))
    row_of = np.zeros((25, 4), int)
    for row in (*_REGIONS.values(), _TORSO):
        row_of[list(row)] = row
    part = _parts(rest, heads, row_of[pack.densepose_part[body_vertex]])
    return part, _chart_values(rest, part, pack.canonical.vertices, pack.densepose_part, heads)


def _chart_values(
    points: np.ndarray, part: np.ndarray, body: np.ndarray, body_part: np.ndarray, heads: Mapping[str, np.ndarray]
) -> np.ndarray:
    """(u, v) (N,2) float32 of points on parts (N,): stretched so that the body's (V,3) parts (V,) fill [0,1]."""
    uv = np.zeros((len(part), 2), np.float32)
    for numbers, chart in CHARTS.items():
        for number in numbers:
            mine = part == number
            if not mine.any():
                continue
            side = "L" if number in LEFT_PARTS else "R"
            start, end = heads[chart.start.format(side)], heads[chart.end.format(side)]
            towards = directions(heads, side)
            axis = (start, end, towards[chart.middle], towards[chart.high])
            whole = _along_and_around(body[body_part == number], *axis)
            low, top = whole.min(1, keepdims=True), whole.max(1, keepdims=True)
            values = (_along_and_around(points[mine], *axis) - low) / np.maximum(top - low, 1e-6)
            along, around = np.clip(values, 0, 1)
            u, v = (along, around) if chart.u == ALONG else (around, along)
            uv[mine] = np.stack([1 - u if chart.flip_u else u, v], axis=1)
    return uv


def directions(heads: Mapping[str, np.ndarray], side: str) -> dict[str, np.ndarray]:
    """Unit vectors by name, of a side ("L" or "R") where they depend on it.

    palm: what the palm faces; thumb: from the little finger to the index finger. arm_front: forwards and towards the
    body in equal parts, as the upper arm's front half lies on a hanging arm.
    """
    outer = RIGHT if side == "R" else -RIGHT
    thumb = heads[f"finger2-1.{side}"] - heads[f"finger5-1.{side}"]
    fingers = heads[f"finger3-3.{side}"] - heads[f"wrist.{side}"]
    palm = np.cross(fingers, thumb) if side == "L" else np.cross(thumb, fingers)
    axis = heads[f"lowerarm01.{side}"] - heads[f"upperarm01.{side}"]
    below = np.cross(np.cross(axis, -outer), axis)  # square to the arm, towards the body
    arm_front = _unit(FRONT) + _unit(below)
    arm_outer = FRONT - _unit(below)
    named = {
        "right": RIGHT, "left": -RIGHT, "front": FRONT, "back": -FRONT, "up": UP, "outer": outer, "inner": -outer,
        "palm": palm, "hand_back": -palm, "thumb": thumb, "little": -thumb, "arm_front": arm_front,
        "arm_back": -arm_front, "arm_outer": arm_outer,
    }  # fmt: skip
    return {name: _unit(vector) for name, vector in named.items()}


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


def _regions(bone_names: tuple[str, ...], skin_weights: sp.csr_matrix) -> np.ndarray:
    """(V,4) row of `_REGIONS` of each vertex: the region whose bones hold most of its skin weight.

    Sums over a region's bones, not the largest single one, make an even line between two regions.
    """
    rows = [*_REGIONS.values(), _TORSO]
    number = [next((k for k, names in enumerate(_REGIONS) if bone.startswith(names)), len(_REGIONS))
              for bone in bone_names]  # fmt: skip
    sums = skin_weights @ np.eye(len(rows), dtype=np.float32)[number]
    return np.array(rows)[sums.argmax(axis=1)]


def _parts(vertices: np.ndarray, heads: Mapping[str, np.ndarray], region: np.ndarray) -> np.ndarray:
    """Parts from regions (V,4): front or back by the side of a plane through the limb's axis, for a straight line."""
    left = vertices[:, 0] > 0
    hip, shoulder = heads["upperleg01.L"], heads["upperarm01.L"]
    back = vertices[:, 1] > np.interp(vertices[:, 2], (hip[2], shoulder[2]), (hip[1], shoulder[1]))
    for row, (start, end, front) in _CUTS.items():
        mine = (region == row).all(axis=1)
        for side, here in (("L", mine & left), ("R", mine & ~left)):
            axis = _unit(heads[f"{end}.{side}"] - heads[f"{start}.{side}"])
            facing = directions(heads, side)[front]
            facing = facing - (facing @ axis) * axis
            back[here] = (vertices[here] - heads[f"{start}.{side}"]) @ facing < 0
    return region[np.arange(len(region)), 2 * left.astype(int) + back].astype(np.uint8)


def _along_and_around(
    points: np.ndarray, start: np.ndarray, end: np.ndarray, middle: np.ndarray, high: np.ndarray
) -> np.ndarray:
    """(2,N): length along the axis start -> end in metres, and angle around it in radians, 0 towards `middle`."""
    axis = _unit(end - start)
    middle = _unit(middle - (middle @ axis) * axis)
    beside = np.cross(axis, middle)
    beside = beside * np.sign(beside @ high)
    offset = points - start
    return np.stack([offset @ axis, np.arctan2(offset @ beside, offset @ middle)])
