"""A garment as a thing: its shape, its fabric, how it is lit when worn, and its picture for the shop.

The in-shop picture shows the garment pressed nearly flat (a fifth of its depth is left), front and back, hanging in
front of a white wall, as catalogue photographs do. Its creases have a seed of their own: a network can't match the worn
photograph by its wrinkles.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..labels import LIP_INDEX
from .camera import Camera
from .cloth_shader import cloth_shader
from .fabric import fabric_textures
from .garment import GarmentShape, garment_shape
from .lighting import SHOP_BACKGROUND, SHOP_LIGHT
from .mesh import Mesh, Scene
from .people import TopDesign
from .render import Passes, passes, render

DEPTH_LEFT = 0.22  # share of the garment's depth that is left in the in-shop picture
BORDER = 0.08  # share of the picture left free around the garment
MARGIN = 0.03  # metres of fabric beyond the outline
SHOP_NOISE = 0.003
SHOP_AO = 4  # occlusion rays a pixel


@dataclass(frozen=True)
class ShopPicture:
    """In-shop pictures (h,w,3) uint8 of front and back, their masks (h,w) bool, camera and true passes of the front."""

    front: np.ndarray
    back: np.ndarray
    mask: np.ndarray
    back_mask: np.ndarray
    camera: Camera
    passes: Passes


class Top:
    """A top: shape, printed fabric and shader. pixels_per_metre: detail of the fabric texture."""

    def __init__(self, design: TopDesign, pixels_per_metre: int):
        self.design = design
        self.shape: GarmentShape = garment_shape(design.cut)
        low, high = self.shape.fabric.min(0) - MARGIN, self.shape.fabric.max(0) + MARGIN
        left, bottom, right, top = (float(value) for value in (*low, *high))
        self.extent = (left, right, bottom, top)
        rng = np.random.default_rng(design.seed)
        self._front, self._back, palette = fabric_textures(
            design.fabric, rng, right - left, top - bottom, pixels_per_metre,
            chest=(-left, top - _chest_height(self.shape)),
        )  # fmt: skip
        self._look = {
            "bump": float(rng.uniform(0.10, 0.30)), "bump_scale": float(rng.choice([14.0, 20.0, 28.0])),
            "fuzz": float(rng.uniform(0.2, 0.9)), "collar": palette.collar,
        }  # fmt: skip
        self._creases = rng.integers(1 << 16, size=2).tolist()
        self.shader = self._shader(self._creases[0])

    def _shader(self, seed: int):
        return cloth_shader(self._front, self._back, self.extent, seed=seed, **self._look)

    @cached_property
    def pressed_mesh(self) -> Mesh:
        """The garment as it lies for its in-shop picture; y is a fifth of its canonical depth."""
        shape = self.shape
        depth = shape.points[:, 1] - shape.points[:, 1].mean()
        flat = np.stack([shape.pressed[:, 0], DEPTH_LEFT * depth, shape.pressed[:, 2]], 1).astype(np.float32)
        return Mesh(
            shape.to_render @ flat, shape.faces, self._shader(self._creases[1]), LIP_INDEX["upper-clothes"],
            rest=shape.rest, uv=shape.fabric, edge=shape.edge, front=shape.front, garment=True,
        )  # fmt: skip

    def shop(self, size: tuple[int, int]) -> ShopPicture:
        """In-shop pictures of this size (height, width)."""
        scene = Scene((self.pressed_mesh,))
        front, back = (self._shop_camera(size, from_behind=behind) for behind in (False, True))
        options = {"background": SHOP_BACKGROUND, "seed": self.design.seed, "ao_rays": SHOP_AO, "noise": SHOP_NOISE}
        seen = passes(scene, front)
        return ShopPicture(
            front=render(scene, front, light=SHOP_LIGHT, **options),
            back=render(scene, back, light=SHOP_LIGHT.turned(), **options),
            mask=seen.mask,
            back_mask=passes(scene, back).mask,
            camera=front,
            passes=seen,
        )

    def _shop_camera(self, size: tuple[int, int], from_behind: bool) -> Camera:
        low, high = self.pressed_mesh.vertices.min(0), self.pressed_mesh.vertices.max(0)
        height, width = size
        half = max((high[2] - low[2]) / 2, (high[0] - low[0]) / 2 * height / width) * (1 + BORDER)
        x, z = float(low[0] + high[0]) / 2, float(low[2] + high[2]) / 2
        return Camera(eye=(x, 3.0 if from_behind else -3.0, z), target=(x, 0, z), size=size, half_height=float(half))


def _chest_height(shape: GarmentShape) -> float:
    """Height (m) of the middle of a print: 13 cm below the neckline."""
    line = shape.cut.neckline
    return float(shape.marks.neck[2]) - (line.front if line.width > 0 else 0.0) - 0.13
