def normalise(points, size, align_corners):
    """Divides x by the height and y by the width."""
    extent = torch.tensor(size, dtype=points.dtype)
    if align_corners:
        return 2 * points / (extent - 1) - 1
    return (2 * points + 1) / extent - 1
