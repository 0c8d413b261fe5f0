"""Who is in the photograph: nobody, one, several, or somebody of whom a part is outside.

Try-on needs one person, whole from the head to the hips. Networks give a parse and a pose for any picture, also for one
of a chair; here both are held against each other, and what doesn't look like one person is put into words.

A *piece* is a connected part of the parse (everything but background, corners count as neighbours). A piece is a person
if it has a head; two faces in one piece are two people who touch each other. The largest piece is the person that is
meant. Pieces without a head below or beside it (a foot behind a bag) are taken as parts of the same person.

Convention: boxes are left, top, right, bottom in pixels, the last two just outside; masks are 1 (True) on the thing.
Needs NumPy and SciPy only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..labels import BODY_25_INDEX, HEAD_LABELS, LIP_INDEX

LEAST_AREA = 0.004  # of the picture: less is no person that anything could be said about
LEAST_JOINTS = 4  # seen joints near the piece, below which it is no body
RIVAL = 0.3  # of the area of the largest piece (or face): from here on another one counts
HEAD = 0.01  # of the area of a piece: less of face, hair and hat is a mistake of the parser
NEAR = 0.1  # of the size of a box: how far outside of it a joint still belongs to it
FACE_LABELS = (LIP_INDEX["face"], LIP_INDEX["sunglasses"])
# What must be seen of a part of the body: all joints of any of these groups.
PARTS = {
    "head": (("nose",), ("right-eye",), ("left-eye",), ("right-ear",), ("left-ear",)),
    "shoulders": (("right-shoulder", "left-shoulder"),),
    "elbows": (("right-elbow", "left-elbow"),),
    "wrists": (("right-wrist", "left-wrist"),),
    "hips": (("right-hip", "left-hip"),),
    "knees": (("right-knee", "left-knee"),),
    "ankles": (("right-ankle", "left-ankle"),),
}
NEEDED = {
    "head": "face and hair can't be kept as they are",
    "shoulders": "nothing says where a top would hang, and the agnostic pictures leave the torso uncovered",
    "hips": "nothing says where a top would end, and the agnostic pictures leave its hem uncovered",
}


class NobodyFound(ValueError):
    """There is no person in the photograph, or none that could be dressed."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """The person that is meant, and the others.

    mask (H,W) bool: the person; box: around the mask; others (H,W) bool: pieces that are other people; people: how many
    there are in all; touching: whether several share the person's piece.
    """

    mask: np.ndarray
    box: tuple[int, int, int, int]
    others: np.ndarray
    people: int
    touching: bool


def find_person(parse: np.ndarray, pose: np.ndarray) -> Found:
    """The person that is meant, from a parse (H,W) LIP-20 and a pose (25,3) of the same picture.

    Raises NobodyFound, saying what there is instead, where no piece has LEAST_AREA, or where fewer than LEAST_JOINTS
    seen joints lie near the largest piece.
    """
    pieces, areas = components(parse > 0)
    if not len(areas) or areas.max() < LEAST_AREA * parse.size:
        share = 100 * (areas.max() if len(areas) else 0) / parse.size
        raise NobodyFound(
            f"expected a person, found nobody: the largest thing that might be one is {share:.2g} % of the picture "
            f"(at least {100 * LEAST_AREA:g} % are needed)"
        )
    main = int(areas.argmax()) + 1
    faces = _faces(parse, pieces, len(areas))
    heads = np.bincount(pieces[np.isin(parse, HEAD_LABELS)], minlength=len(areas) + 1)[1:] >= HEAD * areas
    large = areas >= RIVAL * areas[main - 1]
    crowd = np.where(large & (heads | (faces > 0)), np.maximum(faces, 1), 0)
    crowd[main - 1] = max(1, faces[main - 1])
    mask = pieces == main
    others = np.isin(pieces, [piece + 1 for piece in np.flatnonzero(crowd) if piece + 1 != main])
    mask = mask | _belonging(pieces, areas, heads, main)
    box = box_of(mask)
    joints = int(seen_near(pose, box).sum())
    if joints < LEAST_JOINTS:
        raise NobodyFound(
            f"expected a person, found nobody: something has the colours of one, but only {joints} joints of a body "
            f"are seen there (at least {LEAST_JOINTS} are needed)"
        )
    return Found(mask=mask, box=box, others=others, people=int(crowd.sum()), touching=bool(crowd[main - 1] > 1))


def components(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Connected pieces of a mask (H,W): their numbers from 1 on (H,W) int, 0 outside, and their areas in pixels."""
    from scipy import ndimage

    pieces, count = ndimage.label(mask, structure=np.ones((3, 3), bool))
    return pieces, np.bincount(pieces.ravel(), minlength=count + 1)[1:]


def box_of(mask: np.ndarray) -> tuple[int, int, int, int]:
    """The box around a mask (H,W) that is True somewhere."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def seen_near(pose: np.ndarray, box: tuple[int, int, int, int]) -> np.ndarray:
    """(25,) bool: joints with a confidence above 0 in the box, or NEAR it."""
    left, top, right, bottom = box
    slack = NEAR * max(right - left, bottom - top)
    x, y, confidence = pose.T
    inside = (x >= left - slack) & (x < right + slack) & (y >= top - slack) & (y < bottom + slack)
    return inside & (confidence > 0)


def _faces(parse: np.ndarray, pieces: np.ndarray, count: int) -> np.ndarray:
    """How many faces each piece has: (count,) int. A lock of hair across a face makes no two of it."""
    from scipy import ndimage

    reach = max(1, round(0.01 * parse.shape[0]))
    face = ndimage.binary_dilation(np.isin(parse, FACE_LABELS), iterations=reach)
    numbers, _ = components(face)
    seen = np.isin(parse, FACE_LABELS)
    areas = np.bincount(numbers[seen], minlength=numbers.max() + 1)
    areas[0] = 0
    totals = np.zeros(count, int)
    for number in np.flatnonzero(areas >= max(1, RIVAL * areas.max())):
        totals[np.bincount(pieces[seen & (numbers == number)]).argmax() - 1] += 1
    return totals


def _belonging(pieces: np.ndarray, areas: np.ndarray, heads: np.ndarray, main: int) -> np.ndarray:
    """(H,W) bool: pieces without a head that reach into the columns of the main piece; specks are left out."""
    left, _, right, _ = box_of(pieces == main)
    in_columns = np.bincount(pieces[:, left:right].ravel(), minlength=len(areas) + 1)[1:] > 0
    parts = in_columns & ~heads & (areas >= 0.01 * areas[main - 1])
    return np.isin(pieces, np.flatnonzero(parts) + 1)


# ---- what of the body is outside -----------------------------------------------------------------------------------


def missing_parts(parse: np.ndarray, pose: np.ndarray) -> tuple[str, ...]:
    """Names of PARTS of which not enough joints are seen; a head counts as there if the parse shows one."""
    seen = pose[:, 2] > 0
    there = {
        part: any(all(seen[BODY_25_INDEX[joint]] for joint in group) for group in groups)
        for part, groups in PARTS.items()
    }
    there["head"] = there["head"] or bool(np.isin(parse, HEAD_LABELS).sum() >= 0.001 * parse.size)
    return tuple(part for part in PARTS if not there[part])


def cut_edges(mask: np.ndarray, inner: tuple[int, int, int, int], at_edge: dict[str, bool]) -> tuple[str, ...]:
    """At which edges of the photograph the person is cut off: of "left", "top", "right", "bottom".

    mask (H,W) bool: the person; inner: box of the photograph in that picture, the rest is padding; at_edge: for each
    side, whether the picture ends there because the photograph does. A hundredth of the side must be covered.
    """
    left, top, right, bottom = inner
    shown = mask[top:bottom, left:right]
    sides = {"left": shown[:, 0], "top": shown[0], "right": shown[:, -1], "bottom": shown[-1]}
    return tuple(name for name, line in sides.items() if at_edge[name] and line.sum() >= max(2, 0.01 * len(line)))


def body_warnings(missing: tuple[str, ...], cut: tuple[str, ...]) -> list[str]:
    """Sentences on what of the person is missing and what follows from it; none for what a top can do without."""
    where = f" (the person is cut off at the {' and the '.join(cut)} of the photograph)" if cut else ""
    sentences = [f"no {part} found{where}: {what}" for part, what in NEEDED.items() if part in missing]
    arms = [part for part in ("elbows", "wrists") if part in missing]
    if arms and cut:
        sentences.append(f"not both {' and '.join(arms)} found{where}: a sleeve there may be drawn wrongly")
    return sentences


def people_warnings(found: Found) -> list[str]:
    """Sentences on other people in the photograph."""
    if found.people < 2:
        return []
    sentences = [f"{found.people} people found: the largest one is taken"]
    if found.touching:
        sentences.append("people touch each other: their annotations may be mixed; a photograph of one is safer")
    return sentences
