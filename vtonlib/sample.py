"""The records that flow through everything: what lies on disk (`RawSample`) and what networks see (`TryOnSample`).

Convention: keypoints and flows are *index coordinates* (x to the right, y down; the centre of the first pixel is
(0, 0)), which is also what OpenPose JSON files hold. Continuous coordinates, used by the studio's camera only, put that
centre at (0.5, 0.5). Resizing by a factor s maps an index coordinate x to (x + 0.5) * s - 0.5.

Convention: masks are 1 (True) on the thing that they are named after.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the studio's worker processes read this module and must not pay for torch
    import numpy as np
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class RawSample:
    """One person and one garment as a layout stores them: NumPy arrays at the size of the files.

    name: stem of the person's files; garment_name: stem of the garment's files.
    image (H,W,3) uint8 RGB; parse (H,W) uint8 LIP-20; pose (25,3) float32 x, y, confidence (0 = not seen);
    hands (2,21,3) float32, left then right; skeleton (H,W,3) uint8; densepose (H,W,3) uint8 part, u*255, v*255.
    cloth, cloth_back (h,w,3) uint8; cloth_mask, cloth_back_mask (h,w) bool.
    flow (H,W,2) float32: for each pixel of the worn garment its index coordinates (x, y) in the in-shop picture
    `cloth`, NaN where that point does not show there; flow_back (H,W,2): likewise into `cloth_back`.
    hidden (H,W) bool: the worn garment is here, but behind something. depth (H,W) float32: metres from the camera
    along its view, 0 where nothing was hit.
    unpaired: the same person in the same pose and view wearing another garment (studio test split only).
    new_pose: the same person in the garment of *this* record in another pose; its `flow` leads to the same pictures.
    What a data set does not have is None.
    """

    name: str
    garment_name: str
    image: np.ndarray
    parse: np.ndarray | None = None
    pose: np.ndarray | None = None
    hands: np.ndarray | None = None
    skeleton: np.ndarray | None = None
    densepose: np.ndarray | None = None
    cloth: np.ndarray | None = None
    cloth_mask: np.ndarray | None = None
    cloth_back: np.ndarray | None = None
    cloth_back_mask: np.ndarray | None = None
    flow: np.ndarray | None = None
    flow_back: np.ndarray | None = None
    hidden: np.ndarray | None = None
    depth: np.ndarray | None = None
    unpaired: RawSample | None = None
    new_pose: RawSample | None = None


@dataclass(frozen=True, kw_only=True)
class Garment:
    """A garment as the shop shows it.

    image (3,H,W) float32 in [-1,1]; mask (1,H,W) float32 in {0,1}; back, back_mask likewise or None.
    """

    name: str
    image: Tensor
    mask: Tensor | None = None
    back: Tensor | None = None
    back_mask: Tensor | None = None

    def require_mask(self) -> Tensor:
        """The mask. Raises ValueError naming the preprocessing step that makes it where there is none."""
        if self.mask is None:
            raise ValueError(f"garment {self.name!r} has no mask: garment masking makes it (step 4, notebook 04)")
        return self.mask

    def on_white(self) -> Tensor:
        """The picture cut out by the mask, white elsewhere, in [-1,1]. Raises ValueError as `require_mask` does."""
        mask = self.require_mask()
        return self.image * mask + (1 - mask)


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What only the studio knows.

    flow (2,H,W) float32: worn -> in-shop index coordinates (x, y), NaN where the point does not show in the shop;
    flow_back likewise, into the picture of the garment's back.
    hidden (H,W) bool: the garment is there, but behind an arm, a hand or hair. depth (H,W) float32: metres from the
    camera along its view, 0 where nothing is.
    unpaired: this person, pose and view in another garment, with that garment (in an unpaired sample: in the sample's
    garment, the picture that a try-on should make). new_pose: this person in another pose; in an unpaired sample
    wearing the sample's garment.
    """

    flow: Tensor | None = None
    flow_back: Tensor | None = None
    hidden: Tensor | None = None
    depth: Tensor | None = None
    unpaired: TryOnSample | None = None
    new_pose: TryOnSample | None = None


@dataclass(frozen=True, kw_only=True)
class TryOnSample:
    """One person and the garment to be tried on, all at one size, channels first.

    person (3,H,W) float32 in [-1,1]; parse (H,W) int64 LIP-20 (10 = neck); pose (25,3) float32 x, y in pixels of this
    picture and confidence (0 = not seen; coordinates may lie outside the picture); hands (2,21,3) float32;
    densepose (3,H,W) float32 part, u, v; skeleton (3,H,W) float32 in [-1,1], the coloured pose picture;
    padding: left, top, right, bottom in pixels, added to keep the aspect of a picture of another shape.
    """

    name: str
    person: Tensor
    garment: Garment | None = None
    parse: Tensor | None = None
    pose: Tensor | None = None
    hands: Tensor | None = None
    skeleton: Tensor | None = None
    densepose: Tensor | None = None
    truth: Truth | None = None
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.person.shape[-2], self.person.shape[-1]

    def require(self, *names: str) -> None:
        """Raise ValueError naming the preprocessing step that makes what is missing among `names`."""
        for name in names:
            if getattr(self, name) is None:
                raise ValueError(f"sample {self.name!r} has no {name}: {MADE_BY[name]}")


MADE_BY = {
    "garment": "choose a garment picture, or open the data set with its pairs file",
    "parse": "human parsing makes it (preprocessing step 2, notebook 03)",
    "pose": "pose estimation makes it (preprocessing step 1, notebook 02)",
    "hands": "pose estimation with hands makes it (preprocessing step 1, notebook 02)",
    "skeleton": "vtonlib.represent.skeleton_picture draws it from the pose (preprocessing step 1, notebook 02)",
    "densepose": "DensePose estimation makes it (preprocessing step 3, notebook 04)",
    "truth": "only data sets written by the studio carry it (vtonlib.studio.Studio)",
}


def collate(records: list):
    """Stack a list of records (TryOnSample, Garment, Truth) into one record with a leading batch dimension.

    Tensors are stacked, strings and paddings become lists, nested records are collated. A field that is None in any
    record is None in the batch, as a batch can't be half there.

    Raises ValueError for an empty list, a mixture of records, or tensors of different shapes (naming the field).
    """
    import torch

    if not records:
        raise ValueError("collate: expected at least one record, got an empty list")
    kinds = {type(record).__name__ for record in records}
    if len(kinds) > 1:
        raise ValueError(f"collate: expected records of one kind, got {', '.join(sorted(kinds))}")
    kind, batch = type(records[0]), {}
    for field in fields(kind):
        values = [getattr(record, field.name) for record in records]
        if any(value is None for value in values):
            batch[field.name] = None
        elif isinstance(values[0], torch.Tensor):
            shapes = {tuple(value.shape) for value in values}
            if len(shapes) > 1:
                raise ValueError(f"collate: {kind.__name__}.{field.name} differs in shape: {sorted(shapes)}")
            batch[field.name] = torch.stack(values)
        elif isinstance(values[0], (TryOnSample, Garment, Truth)):
            batch[field.name] = collate(values)
        else:
            batch[field.name] = values
    return kind(**batch)
