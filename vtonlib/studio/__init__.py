"""The studio: rendered people in garments, with exact ground truth, from a seed and nothing else.

`Studio(seed).write(root)` writes a data set. The modules, in the order of a photograph: people (who and in what), body,
pose, skin, hair, cuts, subdivide, drape, garment, fabric, wardrobe (a garment with its picture for the shop), scene,
raycast, render, truth, quality, session (one person from draw to record), write (all of them).
"""

from .write import RECIPE, Studio

__all__ = ["RECIPE", "Studio"]
