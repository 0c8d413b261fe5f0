"""Something to take hold of: the control points of a garment's spline, dragged with the mouse.

`ControlPoints` is all of it but the display: which point lies under the mouse, where it goes, and the picture that
results, as JPEG. `drag_control_points` puts it on the page with ipywidgets and ipyevents. Dragging needs a running
kernel; a page that is only read shows nothing, so a notebook has a static figure below.

Convention: the canvas has its origin in its upper left corner, x to the right and y down, in pixels. Its left panel
shows the warped garment, its right panel the garment with the places where the control points *read*; those are
dragged.
"""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vtonlib.course.show import PAPER, draw_mesh, draw_points, jpeg_bytes, to_picture
from vtonlib.warp import TPSGrid, bending_energy, control_points, fold_overs, warp_image

MARGIN = 28  # around the panels, so that points at the border can be taken hold of and pulled beyond it
REACH = 14.0  # how far beside a point, in pixels of the canvas, one may press
MOVES_EVERY = 40  # milliseconds between two moves that the browser reports


class ControlPoints:
    """A garment, the grid_size^2 control points of its spline, and at most one of them held by the mouse.

    picture: as in `vtonlib.course.show`, a tensor (3,H,W) in [0,1] for one; height: of each panel in pixels.
    theta (2 * grid_size^2,): the offsets, see `vtonlib.warp.TPSGrid`; all 0 at the beginning.
    """

    def __init__(self, picture, *, grid_size: int = 5, height: int = 320) -> None:
        source = Image.fromarray(to_picture(picture))
        width = round(source.width * height / source.height)
        scaled = np.asarray(source.resize((width, height), Image.Resampling.BICUBIC))
        self.panel = (height, width)
        self.garment = torch.from_numpy(scaled.copy()).permute(2, 0, 1).float() / 255
        self.nodes = control_points(grid_size).float()
        self.held: int | None = None
        self.theta = torch.zeros(2 * grid_size**2)
        self._spline = TPSGrid(grid_size=grid_size, align_corners=False, size=self.panel)
        self._start = torch.tensor([2.0 * MARGIN + width, float(MARGIN)])  # upper left corner of the right panel
        self._half = torch.tensor([width, height]) / 2  # a normalised unit in pixels

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the canvas."""
        return 2 * self.panel[1] + 3 * MARGIN, self.panel[0] + 2 * MARGIN

    @property
    def places(self) -> Tensor:
        """Where the control points are drawn on the canvas: (grid_size^2, 2)."""
        return self._start + (self.nodes + self.theta.unflatten(0, (2, -1)).T + 1) * self._half

    def under(self, x: float, y: float) -> int | None:
        """The control point nearest to a place of the canvas, if it is within reach."""
        distance = (self.places - torch.tensor([x, y])).norm(dim=1)
        nearest = int(distance.argmin())
        return nearest if distance[nearest] <= REACH else None

    def press(self, x: float, y: float) -> None:
        """The mouse button goes down: take hold of the point under it, if there is one."""
        self.held = self.under(x, y)

    def move(self, x: float, y: float) -> bool:
        """The mouse has moved: the held point goes with it, within the canvas. False where none is held."""
        if self.held is None:
            return False
        place = torch.tensor([x, y]).clamp(torch.zeros(2), torch.tensor(self.size, dtype=torch.float32))
        offset = (place - self._start) / self._half - 1 - self.nodes[self.held]
        self.theta.unflatten(0, (2, -1))[:, self.held] = offset
        return True

    def release(self) -> None:
        """The button is up, or the mouse has left: nothing is held."""
        self.held = None

    def reset(self) -> None:
        """All control points back to their places."""
        self.held = None
        self.theta.zero_()

    def canvas(self) -> np.ndarray:
        """The picture (height, width, 3) uint8."""
        height, width = self.panel
        warped = warp_image(self.garment[None], self._spline(self.theta[None]), padding="border", align_corners=False)
        canvas = np.full((self.size[1], self.size[0], 3), PAPER, np.uint8)
        for left, picture in ((MARGIN, warped[0].clamp(0, 1)), (2 * MARGIN + width, self.garment)):
            canvas[MARGIN : MARGIN + height, left : left + width] = to_picture(picture)
        index = self.places - 0.5  # the canvas counts from its edge, drawing from the centre of its first pixel
        side = round(len(self.nodes) ** 0.5)
        canvas = draw_points(draw_mesh(canvas, index.unflatten(0, (side, side))), index, radius=4)
        return canvas if self.held is None else draw_points(canvas, index[self.held], colour="orange", radius=6)

    def jpeg(self) -> bytes:
        """The picture as the bytes of a JPEG file."""
        return jpeg_bytes(self.canvas())

    def caption(self) -> str:
        """One line: the largest offset, the bending energy, and how much of the picture is folded."""
        offsets = self.theta.unflatten(0, (2, -1))
        farthest = int(offsets.norm(dim=0).argmax())
        right, down = offsets[:, farthest].tolist()
        energy = float(bending_energy(self.theta[None], grid_size=round(len(self.nodes) ** 0.5)))
        folded = float(fold_overs(self._spline(self.theta[None])))
        return (
            f"control point {farthest} reads {right:+.2f} to the right and {down:+.2f} down; "
            f"bending energy {energy:.1f}; folded {folded:.1%}"
        )


def drag_control_points(picture, *, height: int = 320):
    """Show a garment whose 25 control points can be dragged, and return the `ControlPoints` behind it.

    picture, height: as for `ControlPoints`. While the mouse button is down the held point follows the mouse.
    """
    from ipyevents import Event
    from IPython.display import display
    from ipywidgets import Button, Image, Label, VBox

    points = ControlPoints(picture, height=height)
    width, tall = points.size
    image = Image(value=points.jpeg(), format="jpeg", width=width, height=tall)
    caption, button = Label(points.caption()), Button(description="start again")

    def redraw(*_) -> None:
        image.value, caption.value = points.jpeg(), points.caption()

    def start_again(_) -> None:
        points.reset()
        redraw()

    button.on_click(start_again)
    # Presses must all arrive; of moves, which come by the hundred, only some.
    presses = Event(source=image, watched_events=["mousedown", "mouseup", "mouseleave"], prevent_default_action=True)
    moves = Event(source=image, watched_events=["mousemove"], wait=MOVES_EVERY, prevent_default_action=True)
    for events in (presses, moves):
        events.on_dom_event(lambda event: redraw() if follow(points, event) else None)
    display(VBox([image, caption, button]))
    return points


def follow(points: ControlPoints, event: dict) -> bool:
    """Let control points follow one event of the browser, as ipyevents reports it. -> whether to draw again.

    The picture may be shown smaller or larger than it is: places are scaled by the size that the browser reports.
    """
    x = event["relativeX"] * points.size[0] / event["boundingRectWidth"]
    y = event["relativeY"] * points.size[1] / event["boundingRectHeight"]
    if event["type"] == "mousedown":
        points.press(x, y)
        return points.held is not None
    if event["type"] == "mousemove" and event["buttons"] & 1:
        return points.move(x, y)
    held = points.held is not None  # the button is up, here or outside the picture
    points.release()
    return held
