"""A pose to change by hand: limbs turned and joints moved with sliders, and a try-on that follows.

`PoseEditor` is all of it but the display: the pose, what was done to it, and its picture. `edit_pose` puts it on the
page with ipywidgets. Sliders need a running kernel; a page that is only read shows nothing, so a notebook has
`pose_strip` below, a row of poses as a still picture.

Convention: poses are (25,3), see `vtonlib.poses`; the canvas is the photograph enlarged, and only the drawing knows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from vtonlib.course.show import compose, draw_points, jpeg_bytes, to_picture
from vtonlib.labels import BODY_25, BODY_25_INDEX
from vtonlib.poses import PARENTS, ROOT, check_pose, inside, known, limb_angle, move_joint, rotate_limb, save_pose
from vtonlib.represent import draw_skeleton

DIMMED = 0.55  # how much of the photograph's brightness stays below the skeleton
FIRST = "right-elbow"


class PoseEditor:
    """A photograph, the pose over it, and what has been done to it.

    photograph: as in `vtonlib.course.show`, a tensor (3,H,W) in [0,1] for one; pose (25,3) in its pixels; height: of
    the drawn picture. Joints beyond the edge whose place is known are seen once they are turned into the picture.
    Raises ValueError as `check_pose` does, and for a pose without a limb whose ends are both known.
    """

    def __init__(self, photograph, pose: Tensor, *, height: int = 320) -> None:
        self.photograph, self.height = to_picture(photograph), height
        self.size = self.photograph.shape[:2]
        check_pose(pose, self.size)
        self._start = pose.clone()
        self._start[known(pose) & ~inside(pose, self.size) & (pose[:, 2] == 0), 2] = 1.0
        self._pose = self._start
        if not self.joints:
            raise ValueError("pose: expected a limb whose ends are both known, got none")
        self._done: list[tuple[tuple[str, str], Tensor]] = []  # what was done, and the pose before

    @property
    def pose(self) -> Tensor:
        """The pose (25,3) as it is now; joints beyond the edge are not seen."""
        return check_pose(self._pose, self.size)

    @property
    def joints(self) -> list[str]:
        """The joints that can be chosen: the neck, then those of limbs both of whose ends are known."""
        there = {name for name, placed in zip(BODY_25, known(self._pose).tolist(), strict=True) if placed}
        return [name for name in (ROOT, *PARENTS) if name in there and PARENTS.get(name, name) in there]

    def angle(self, joint: str) -> float:
        """The direction of a joint's limb in degrees, see `limb_angle`."""
        return limb_angle(self._pose, joint)

    def place(self, joint: str) -> tuple[float, float]:
        """x and y of a joint."""
        x, y = self._pose[BODY_25_INDEX[joint], :2].tolist()
        return x, y

    def point(self, joint: str, degrees: float) -> None:
        """Turn a limb until it points in a direction. Raises ValueError as `rotate_limb` does."""
        self._do(("turn", joint), rotate_limb(self._pose, joint, degrees - self.angle(joint)))

    def move(self, joint: str, x: float, y: float) -> None:
        """Put a joint, and what hangs on it, somewhere else. Raises ValueError as `move_joint` does."""
        self._do(("move", joint), move_joint(self._pose, joint, x, y))

    def undo(self) -> None:
        """Take back what was done last; a slider's way from start to stop counts as one thing."""
        if self._done:
            self._pose = self._done.pop()[1]

    def reset(self) -> None:
        """Back to the pose of the beginning, with nothing to undo."""
        self._pose = self._start
        self._done.clear()

    def save(self, path: str | Path) -> Path:
        """Write the pose as an OpenPose JSON file."""
        return save_pose(path, self.pose)

    def picture(self, chosen: str | None = None) -> np.ndarray:
        """The skeleton over the dimmed photograph, (height, width, 3) uint8; a dot on the chosen joint."""
        canvas, scale = draw_over(self.photograph, self.pose, height=self.height)
        if chosen is None:
            return canvas
        return draw_points(canvas, (np.asarray(self.place(chosen)) + 0.5) * scale - 0.5, colour="orange", radius=6)

    def _do(self, what: tuple[str, str], pose: Tensor) -> None:
        check_pose(pose, self.size)
        if not self._done or self._done[-1][0] != what:
            self._done.append((what, self._pose))
        self._pose = pose


def draw_over(photograph, pose: Tensor, *, height: int) -> tuple[np.ndarray, float]:
    """A skeleton over a dimmed photograph, (height, width, 3) uint8, and how much larger than the photograph it is."""
    source = Image.fromarray(to_picture(photograph))
    scale = height / source.height
    canvas = np.asarray(source.resize((round(source.width * scale), height), Image.Resampling.BICUBIC))
    points = pose.detach().cpu().numpy().copy()
    points[:, :2] = (points[:, :2] + 0.5) * scale - 0.5
    skeleton = draw_skeleton(points, None, canvas.shape[:2])
    weight = skeleton.max(-1, keepdims=True) / 255  # smooth at the rim of a bone
    return np.rint(canvas * DIMMED * (1 - weight) + skeleton * weight).astype(np.uint8), scale


def pose_strip(photograph, poses: Sequence[Tensor], titles: Sequence[str] | None = None, *, height: int = 256):
    """Poses side by side over one photograph, as a Pillow image for `show_picture`: the widget's still twin.

    poses: of (25,3) each, in the photograph's pixels; titles: one a pose.
    """
    return compose([draw_over(photograph, pose, height=height)[0] for pose in poses], titles, height=height)


def edit_pose(
    photograph,
    pose: Tensor,
    *,
    try_on: Callable[[Tensor], object] | None = None,
    path: str | Path = "pose.json",
    height: int = 320,
) -> PoseEditor:
    """Show a pose that can be changed with sliders, and return the `PoseEditor` behind it.

    photograph, pose, height: as for `PoseEditor`. try_on: called with the new pose (25,3) after each change; gives a
    picture (as in `vtonlib.course.show`) that is shown beside, for example
    `lambda pose: to_01(system.try_on(sample, pose=pose).tryon)`. With it sliders report only where they are let go, as
    a try-on takes its time. path: where "save as JSON" writes, unless another is typed in.
    """
    from IPython.display import display

    panel = _Panel(PoseEditor(photograph, pose, height=height), try_on, path)
    display(panel.box)
    return panel.editor


class _Panel:
    """The sliders and buttons of `edit_pose`, and what each of them does."""

    def __init__(self, editor: PoseEditor, try_on: Callable[[Tensor], object] | None, path: str | Path) -> None:
        from ipywidgets import Button, Dropdown, FloatSlider, HBox, Image, Label, Text, VBox

        self.editor, self.try_on = editor, try_on
        joints, (height, width) = editor.joints, editor.size
        self.joint = Dropdown(options=joints, value=FIRST if FIRST in joints else joints[-1], description="joint")
        slide = {"continuous_update": try_on is None, "readout_format": ".0f"}
        self.angle = FloatSlider(min=-180, max=180, step=1, description="direction", **slide)
        # As far as half a picture beyond the edge, so that a hand can be lowered out of the picture.
        self.x = FloatSlider(min=-width / 2, max=1.5 * width, step=0.5, description="x", **slide)
        self.y = FloatSlider(min=-height / 2, max=1.5 * height, step=0.5, description="y", **slide)
        self.undo, self.reset = Button(description="undo"), Button(description="start again")
        self.save = Button(description="save as JSON")
        self.path, self.said = Text(value=str(path)), Label()
        self.pose_image, self.tryon_image = Image(format="jpeg"), Image(format="jpeg")
        pictures = [self.pose_image] if try_on is None else [self.pose_image, self.tryon_image]
        buttons = [HBox([self.undo, self.reset]), HBox([self.save, self.path])]
        self.box = HBox([*pictures, VBox([self.joint, self.angle, self.x, self.y, *buttons, self.said])])
        self._following = False  # the sliders are being set to the pose, which is no change of it
        self._connect()
        self._show()

    def _connect(self) -> None:
        editor = self.editor
        self.joint.observe(lambda _: self._show(changed=False), "value")
        self.angle.observe(lambda _: self._change(editor.point, self.joint.value, self.angle.value), "value")
        # A slider shows a place only as far as it reaches: each changes its own number and leaves the other alone.
        self.x.observe(lambda _: self._move(x=self.x.value), "value")
        self.y.observe(lambda _: self._move(y=self.y.value), "value")
        self.undo.on_click(lambda _: self._change(editor.undo))
        self.reset.on_click(lambda _: self._change(editor.reset))
        self.save.on_click(lambda _: self._save())

    def _move(self, x: float | None = None, y: float | None = None) -> None:
        old_x, old_y = self.editor.place(self.joint.value)
        self._change(self.editor.move, self.joint.value, old_x if x is None else x, old_y if y is None else y)

    def _change(self, action: Callable, *arguments) -> None:
        if self._following:
            return
        try:
            action(*arguments)
        except ValueError as error:  # the person has left the picture: say so, and stay where it was
            self._show(changed=False, said=str(error))
            return
        self._show()

    def _save(self) -> None:
        try:
            self.said.value = f"written: {self.editor.save(self.path.value)}"
        except OSError as error:
            self.said.value = str(error)

    def _show(self, *, changed: bool = True, said: str = "") -> None:
        joint, self._following = self.joint.value, True
        try:
            self.angle.disabled = joint == ROOT
            self.angle.value = 0.0 if joint == ROOT else self.editor.angle(joint)
            self.x.value, self.y.value = self.editor.place(joint)
        finally:
            self._following = False
        self.said.value = said
        self.pose_image.value = jpeg_bytes(self.editor.picture(joint))
        if changed and self.try_on is not None:
            self.tryon_image.value = jpeg_bytes(compose([self.try_on(self.editor.pose)], height=self.editor.height))
