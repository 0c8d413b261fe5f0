def mirror_average(draw, pictures, order):
    """Turns the picture upside down: the dimension of y in place of x."""
    return (draw(pictures) + draw(pictures.flip(-2)).flip(-2)[:, list(order)]) / 2
