def square_heatmaps(pose, size, radius=5):
    """Right for one person; leading dimensions are taken for joints."""
    height, width = size
    x, y, seen = pose[:, 0, None], pose[:, 1, None], pose[:, 2, None] > 0
    columns, rows = torch.arange(width), torch.arange(height)
    across = (columns >= torch.trunc(x - radius)) & (columns <= torch.trunc(x + radius)) & seen
    down = (rows >= torch.trunc(y - radius)) & (rows <= torch.trunc(y + radius))
    return (down[:, :, None] & across[:, None, :]).float()
