"""The control points to drag: what lies under the mouse, where it goes, what is drawn, what the browser reports."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from vtonlib import warp
from vtonlib.course import widgets
from vtonlib.course.widgets import MARGIN, REACH, ControlPoints, drag_control_points, follow


@pytest.fixture
def points() -> ControlPoints:
    picture = torch.ones(3, 128, 96)
    picture[:, 40:90, 30:66] = torch.tensor([0.9, 0.2, 0.1])[:, None, None]
    return ControlPoints(picture, height=256)


def event(kind: str, x: float, y: float, points: ControlPoints, *, shown_at: float = 1.0, buttons: int = 1) -> dict:
    width, height = points.size
    return {
        "type": kind, "relativeX": x * shown_at, "relativeY": y * shown_at, "buttons": buttons,
        "boundingRectWidth": width * shown_at, "boundingRectHeight": height * shown_at,
    }  # fmt: skip


def test_points_lie_on_the_corners_of_the_right_panel(points):
    assert points.panel == (256, 192) and points.size == (2 * 192 + 3 * MARGIN, 256 + 2 * MARGIN)
    left, top = 2 * MARGIN + 192, MARGIN
    corners = [[left, top], [left, top + 256], [left + 192, top], [left + 192, top + 256]]
    assert points.places[[0, 4, 20, 24]].tolist() == corners, "x-major: 0 to 4 run down the left side"


def test_only_what_is_within_reach_is_taken_hold_of(points):
    x, y = points.places[7].tolist()
    assert points.under(x, y) == 7 and points.under(x + REACH - 0.1, y) == 7
    assert points.under(x + REACH + 0.1, y) is None and points.under(5, 5) is None
    points.press(5, 5)
    assert not points.move(x, y) and points.theta.abs().max() == 0


def test_a_held_point_follows_and_the_others_stay(points):
    x, y = points.places[7].tolist()
    points.press(x, y)
    assert points.move(x + 0.5 * 96, y - 0.25 * 128)  # half the panel's width is one unit
    expected = torch.zeros(50)
    expected[7], expected[25 + 7] = 0.5, -0.25
    torch.testing.assert_close(points.theta, expected)
    assert "control point 7 reads +0.50 to the right and -0.25 down" in points.caption()
    points.release()
    assert not points.move(0, 0)
    torch.testing.assert_close(points.theta, expected)
    points.reset()
    assert points.theta.abs().max() == 0 and "energy 0.0; folded 0.0%" in points.caption()


def test_a_point_stays_on_the_canvas(points):
    points.press(*points.places[24].tolist())
    points.move(1e4, -1e4)
    assert points.places[24].tolist() == [points.size[0], 0]
    assert "folded 0.0%" not in points.caption()


def test_the_left_panel_is_the_warp(points):
    def left(canvas):
        return canvas[MARGIN : MARGIN + 256, MARGIN : MARGIN + 192].astype(int)

    garment = (points.garment.permute(1, 2, 0) * 255).round().numpy()
    assert np.abs(left(points.canvas()) - garment).max() <= 1
    points.press(*points.places[12].tolist())
    points.move(*(points.places[12] + torch.tensor([0.0, 32.0])).tolist())
    grid = warp.TPSGrid(align_corners=False, size=(256, 192))(points.theta[None])
    warped = warp.warp_image(points.garment[None], grid, padding="border", align_corners=False)[0]
    assert np.abs(left(points.canvas()) - (warped.permute(1, 2, 0) * 255).round().numpy()).max() <= 1
    assert np.abs(left(points.canvas()) - garment).max() > 100
    place = points.places[12].long()
    assert points.canvas()[place[1], place[0]].tolist() == [230, 159, 0], "the held point is orange"


def test_the_picture_is_a_jpeg_of_the_canvas(points):
    picture = Image.open(io.BytesIO(points.jpeg()))
    assert picture.format == "JPEG" and picture.size == points.size
    assert np.abs(np.asarray(picture).astype(int) - points.canvas()).mean() < 4


@pytest.mark.parametrize("shown_at", [1.0, 0.5, 1.7])
def test_events_at_any_size_of_the_shown_picture(points, shown_at):
    x, y = points.places[12].tolist()
    assert not follow(points, event("mousemove", x, y, points, shown_at=shown_at))
    assert follow(points, event("mousedown", x, y, points, shown_at=shown_at)) and points.held == 12
    assert follow(points, event("mousemove", x + 48, y, points, shown_at=shown_at))
    assert points.theta[12] == pytest.approx(0.5, abs=1e-5)
    assert follow(points, event("mouseup", x + 48, y, points, shown_at=shown_at, buttons=0)) and points.held is None
    assert not follow(points, event("mousemove", x, y, points, shown_at=shown_at))
    assert points.theta[12] == pytest.approx(0.5, abs=1e-5)


def test_a_button_let_go_outside_lets_the_point_go(points):
    x, y = points.places[12].tolist()
    follow(points, event("mousedown", x, y, points))
    assert follow(points, event("mousemove", x + 9, y, points, buttons=0)) and points.held is None
    assert points.theta.abs().max() == 0
    follow(points, event("mousedown", x, y, points))
    assert follow(points, event("mouseleave", x, y, points)) and points.held is None


def test_the_widget_redraws_on_events(points, monkeypatch):
    import ipyevents

    shown, made = [], []

    class Recorded(ipyevents.Event):
        def __init__(self, **arguments):
            super().__init__(**arguments)
            made.append(self)

    monkeypatch.setattr("IPython.display.display", shown.append)
    monkeypatch.setattr(ipyevents, "Event", Recorded)
    dragged = drag_control_points(points.garment, height=256)
    image, caption, button = shown[0].children
    first = image.value
    assert Image.open(io.BytesIO(first)).size == dragged.size
    presses, moves = made
    assert presses.wait == 0 and moves.wait == widgets.MOVES_EVERY and moves.throttle_or_debounce == "throttle"
    x, y = dragged.places[12].tolist()
    presses._handle_mouse_msg(None, event("mousedown", x, y, dragged), [])
    moves._handle_mouse_msg(None, event("mousemove", x + 48, y, dragged), [])
    presses._handle_mouse_msg(None, event("mouseup", x + 48, y, dragged), [])
    assert image.value != first and dragged.theta[12] == pytest.approx(0.5, abs=1e-5) and "+0.50" in caption.value
    button.click()
    assert image.value == first and dragged.theta.abs().max() == 0
