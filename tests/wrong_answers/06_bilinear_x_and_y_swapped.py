def bilinear(image, x, y):
    """Reads image[x, y]: the row where the column belongs."""
    height, width = image.shape
    x, y = x.clamp(0, height - 1), y.clamp(0, width - 1)
    left, top = x.long().clamp(max=height - 2), y.long().clamp(max=width - 2)
    across, down = x - left, y - top
    upper = image[left, top] * (1 - across) + image[left + 1, top] * across
    lower = image[left, top + 1] * (1 - across) + image[left + 1, top + 1] * across
    return upper * (1 - down) + lower * down
