"""A garment as a thing: its shape, its fabric, how it is lit when worn, and its picture for the shop.

The in-shop pictures show the garment pressed nearly flat, front and back, as its presentation says. Their creases have
a seed of their own: a network can't match the worn photograph by its wrinkles.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .camera import Camera
from .cloth_shader import cloth_shader
from .details import BUTTONS, Sewn, sewn_shader
from .fabric import PRINTS, fabric_textures
from .garment import GarmentShape, garment_shape
from .mesh import Mesh, Scene
from .outfits import TopDesign
from .presentation import CONSTANT_HALF, Presentation, draw_presentation, present, shop_ground
from .relief import RELIEF_SHADE, finish_of, relief, shaded, slopes
from .render import Passes, passes, render

BORDER = 0.08  # share of the picture left free around the garment
MARGIN = 0.03  # metres of fabric beyond the outline
# A button placket leaves no place for a print on the chest; on a hoodie it ends above the pocket.
PRINTS_ON = {"shirt": (), "open-shirt": (), "polo": ("pocket",)}
PRINT_ROOM = {"hoodie": 0.19}  # metres
SHOP_NOISE = 0.003
SHOP_AO = 4  # occlusion rays a pixel
SHOP_STREAM, RELIEF_STREAM = 7, 9  # random streams of the presentation and of the cloth's relief


@dataclass(frozen=True)
class ShopPicture:
    """In-shop pictures (h,w,3) uint8 of front and back, their masks (h,w) bool, cameras and true passes.

    positions (V,3): where the garment's vertices, numbered as in its worn mesh, lie before both cameras.
    """

    front: np.ndarray
    back: np.ndarray
    mask: np.ndarray
    back_mask: np.ndarray
    camera: Camera
    back_camera: Camera
    passes: Passes
    back_passes: Passes
    positions: np.ndarray


class Top:
    """A top: shape, printed fabric and shader. pixels_per_metre: detail of the fabric texture."""

    def __init__(self, design: TopDesign, pixels_per_metre: int):
        self.design = design
        self._shops: dict[tuple[int, int], ShopPicture] = {}
        self.shape: GarmentShape = garment_shape(design.cut)
        low, high = self.shape.fabric.min(0) - MARGIN, self.shape.fabric.max(0) + MARGIN
        left, bottom, right, top = (float(value) for value in (*low, *high))
        self.extent = (left, right, bottom, top)
        rng = np.random.default_rng(design.seed)
        self._front, self._back, palette = fabric_textures(
            design.fabric, rng, right - left, top - bottom, pixels_per_metre,
            chest=(-left, top - _chest_height(self.shape)),
            prints=PRINTS_ON.get(design.cut.style, PRINTS), room=PRINT_ROOM.get(design.cut.style, 1.0),
        )  # fmt: skip
        finish = finish_of(design.fabric)
        self._look = {
            "bump": float(rng.uniform(0.10, 0.30)) * finish.bump, "bump_scale": float(rng.choice([14.0, 20.0, 28.0])),
            "fuzz": float(rng.uniform(0.2, 0.9)), "collar": palette.collar,
        } | ({} if finish.fuzz is None else {"fuzz": finish.fuzz})  # fmt: skip
        self._look |= {"specular": finish.specular, "roughness": finish.roughness}
        self._raise_relief(pixels_per_metre)
        self._creases = rng.integers(1 << 16, size=2).tolist()
        self._button = BUTTONS[int(rng.integers(len(BUTTONS)))]
        self.shader = self._shader(self._creases[0])

    def _raise_relief(self, pixels_per_metre: int) -> None:
        """Shade the textures by the relief of the cloth, if it has one, and keep its slopes for the shader."""
        rng = np.random.default_rng([self.design.seed, RELIEF_STREAM])
        height = relief(self.design.fabric, rng, self._front.shape[:2], pixels_per_metre)
        if height is None:
            return
        amount = RELIEF_SHADE[self.design.fabric]
        self._front, self._back = shaded(self._front, height, amount), shaded(self._back, height[:, ::-1], amount)
        self._look["relief"] = slopes(height, pixels_per_metre)

    def _shader(self, seed: int):
        cloth = cloth_shader(self._front, self._back, self.extent, seed=seed, **self._look)
        return sewn_shader(cloth, self.design.cut.style, Sewn(*self.shape.front_ends, self._button))

    @cached_property
    def presentation(self) -> Presentation:
        """How the shop shows this garment."""
        return draw_presentation(np.random.default_rng([self.design.seed, SHOP_STREAM]))

    @cached_property
    def pressed_mesh(self) -> Mesh:
        """The garment as it lies for its in-shop picture: vertices and faces are those of the worn mesh."""
        shape = self.shape
        return Mesh(
            present(shape, self.presentation), shape.faces, self._shader(self._creases[1]), self.design.cut.label,
            rest=shape.rest, uv=shape.fabric, edge=shape.edge, front=shape.front, garment=True,
        )  # fmt: skip

    def shop(self, size: tuple[int, int]) -> ShopPicture:
        """In-shop pictures of this size (height, width), rendered once."""
        size = tuple(size)
        if size not in self._shops:
            self._shops[size] = self._photograph_for_shop(size)
        return self._shops[size]

    def _photograph_for_shop(self, size: tuple[int, int]) -> ShopPicture:
        scene, way = Scene((self.pressed_mesh,)), self.presentation
        options = {"seed": self.design.seed, "ao_rays": SHOP_AO, "noise": SHOP_NOISE}
        cameras = [self._shop_camera(size, from_behind=behind) for behind in (False, True)]
        seen = [passes(scene, camera) for camera in cameras]
        pictures = [
            render(scene, camera, light=light, background=shop_ground(way, view.mask), **options)
            for camera, view, light in zip(cameras, seen, (way.light, way.light.turned()))
        ]
        return ShopPicture(
            front=pictures[0], back=pictures[1], mask=seen[0].mask, back_mask=seen[1].mask, camera=cameras[0],
            back_camera=cameras[1], passes=seen[0], back_passes=seen[1], positions=self.pressed_mesh.vertices,
        )  # fmt: skip

    def _shop_camera(self, size: tuple[int, int], from_behind: bool) -> Camera:
        low, high = self.pressed_mesh.vertices.min(0), self.pressed_mesh.vertices.max(0)
        height, width = size
        half = max((high[2] - low[2]) / 2, (high[0] - low[0]) / 2 * height / width) * (1 + BORDER)
        if not self.presentation.fitted:
            half = max(half, CONSTANT_HALF)
        x, z = float(low[0] + high[0]) / 2, float(low[2] + high[2]) / 2
        return Camera(eye=(x, 3.0 if from_behind else -3.0, z), target=(x, 0, z), size=size, half_height=float(half))


def _chest_height(shape: GarmentShape) -> float:
    """Height (m) of the middle of a print: 13 cm below the neckline."""
    line = shape.cut.neckline
    return float(shape.marks.neck[2]) - (line.front if line.width > 0 else 0.0) - 0.13
