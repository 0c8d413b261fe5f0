def square_heatmaps(pose, size, radius=5):
    """Ignores the confidence: a missing joint at (0, 0) becomes a square in the corner."""
    height, width = size
    x, y = pose[..., 0, None], pose[..., 1, None]
    columns, rows = torch.arange(width), torch.arange(height)
    across = (columns >= torch.trunc(x - radius)) & (columns <= torch.trunc(x + radius))
    down = (rows >= torch.trunc(y - radius)) & (rows <= torch.trunc(y + radius))
    return (down[..., :, None] & across[..., None, :]).float()
