def bilinear(image, x, y):
    """Right inside, but 0 beyond the border instead of its nearest pixel."""
    height, width = image.shape
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    x, y = x.clamp(0, width - 1), y.clamp(0, height - 1)
    left, top = x.long().clamp(max=width - 2), y.long().clamp(max=height - 2)
    across, down = x - left, y - top
    upper = image[top, left] * (1 - across) + image[top, left + 1] * across
    lower = image[top + 1, left] * (1 - across) + image[top + 1, left + 1] * across
    return (upper * (1 - down) + lower * down) * inside
