def decode(heatmaps):
    """Divides by zero where three values are equal."""
    height, width = heatmaps.shape[-2:]
    peak, place = heatmaps.flatten(-2).max(-1)
    x, y = (place % width).clamp(1, width - 2), (place // width).clamp(1, height - 2)

    def value(column, row):
        picked = heatmaps.flatten(-2).gather(-1, (row * width + column)[..., None])[..., 0]
        return picked.clamp(min=1e-12).log()

    def vertex(before, here, after):
        return (before - after) / (2 * (before - 2 * here + after))

    fine_x = x + vertex(value(x - 1, y), value(x, y), value(x + 1, y))
    fine_y = y + vertex(value(x, y - 1), value(x, y), value(x, y + 1))
    return torch.stack([fine_x, fine_y, peak], -1)
