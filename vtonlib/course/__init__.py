"""What only the notebooks need: profiles, pictures, checks, and what builds, runs and proves notebooks."""

from vtonlib.course.checks import Check, check_bands, compare, pick
from vtonlib.course.profiles import default_profile, ensure_data, profile
from vtonlib.course.show import (
    colour_flow,
    colour_parse,
    draw_mesh,
    draw_points,
    draw_pose,
    new_figure,
    overlay,
    parse_legend,
    show_figure,
    show_images,
    show_picture,
    to_01,
)  # fmt: skip

__all__ = [
    "Check", "check_bands", "colour_flow", "colour_parse", "compare", "default_profile", "draw_mesh", "draw_points",
    "draw_pose", "ensure_data", "new_figure", "overlay", "parse_legend", "pick", "profile", "show_figure",
    "show_images", "show_picture", "to_01",
]  # fmt: skip
