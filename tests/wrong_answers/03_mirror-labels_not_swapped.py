def with_mirror(probabilities_of, picture):
    """Left and right keep their channels in the mirror."""
    mirrored = probabilities_of(picture.flip(-1)).flip(-1)
    return (probabilities_of(picture) + mirrored) / 2
