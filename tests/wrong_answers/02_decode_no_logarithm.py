def decode(heatmaps):
    """A parabola through the values themselves: a Gaussian isn't one."""
    height, width = heatmaps.shape[-2:]
    peak, place = heatmaps.flatten(-2).max(-1)
    x, y = (place % width).clamp(1, width - 2), (place // width).clamp(1, height - 2)

    def value(column, row):
        return heatmaps.flatten(-2).gather(-1, (row * width + column)[..., None])[..., 0]

    def vertex(before, here, after):
        bend = before - 2 * here + after
        return torch.where(bend < -1e-6, (before - after) / (2 * bend), 0.0)

    fine_x = x + vertex(value(x - 1, y), value(x, y), value(x + 1, y))
    fine_y = y + vertex(value(x, y - 1), value(x, y), value(x, y + 1))
    return torch.stack([fine_x, fine_y, peak], -1)
