def mirror_average(draw, pictures, order):
    """Exchanges left and right, and forgets that the maps are mirrored, too."""
    return (draw(pictures) + draw(pictures.flip(-1))[:, list(order)]) / 2
