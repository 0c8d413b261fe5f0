def with_mirror(probabilities_of, picture):
    """Turns the picture over along the wrong axis."""
    mirrored = probabilities_of(picture.flip(-2)).flip(-2)
    return (probabilities_of(picture) + mirrored[:, list(LIP_MIRROR)]) / 2
