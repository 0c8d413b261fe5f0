def mirror_average(draw, pictures, order):
    """Mirrors the maps back, and leaves left and right in the mirror image's channels."""
    return (draw(pictures) + draw(pictures.flip(-1)).flip(-1)) / 2
