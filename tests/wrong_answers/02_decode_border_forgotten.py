def decode(heatmaps):
    """Right inside; at the border it stays at the brightest pixel instead of moving the three inwards."""
    height, width = heatmaps.shape[-2:]
    peak, place = heatmaps.flatten(-2).max(-1)
    column, row = place % width, place // width
    x, y = column.clamp(1, width - 2), row.clamp(1, height - 2)

    def value(column, row):
        picked = heatmaps.flatten(-2).gather(-1, (row * width + column)[..., None])[..., 0]
        return picked.clamp(min=1e-12).log()

    def vertex(before, here, after):
        bend = before - 2 * here + after
        return torch.where(bend < -1e-6, (before - after) / (2 * bend), 0.0)

    fine_x = x + vertex(value(x - 1, y), value(x, y), value(x + 1, y))
    fine_y = y + vertex(value(x, y - 1), value(x, y), value(x, y + 1))
    return torch.stack([torch.where(x == column, fine_x, column), torch.where(y == row, fine_y, row), peak], -1)
