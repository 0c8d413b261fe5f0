"""The studio: rendered people in garments, with exact ground truth, from a seed and nothing else.

`Studio(seed).write(root)` writes a data set. The modules, in the order of a photograph:

- who: people, body (body_fields, densepose), faces, face_paint, skin, hair (hair_style, hair_parts, hair_shader),
  accessories (accessory_parts, hats), stances, hands, pose
- in what: outfits, cuts, subdivide, garment (dresses, trims, details), drape, contact, layers
- of what cloth: dyes, patterns, motifs, prints, fabric, relief, cloth_shader, bottom_shader
- the garment for the shop: presentation, wardrobe
- where and in which light: backdrop (planes, walls, rooms, streets), lighting, lamps, photography
- the picture and what is true of it: camera, mesh, scene, raycast, shadows, render, truth, quality
- all together: session (one person from draw to records), write (everybody), selfcheck, card
"""

from .write import RECIPE, Studio

__all__ = ["RECIPE", "Studio"]
