def with_mirror(probabilities_of, picture):
    """The map of the mirror image is not mirrored back."""
    mirrored = probabilities_of(picture.flip(-1))
    return (probabilities_of(picture) + mirrored[:, list(LIP_MIRROR)]) / 2
