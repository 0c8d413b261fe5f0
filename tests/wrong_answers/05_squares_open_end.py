def square_heatmaps(pose, size, radius=5):
    """The right and the lower end are left out, as in a slice: 10 x 10 instead of 11 x 11."""
    height, width = size
    x, y, seen = pose[..., 0, None], pose[..., 1, None], pose[..., 2, None] > 0
    columns, rows = torch.arange(width), torch.arange(height)
    across = (columns >= torch.trunc(x - radius)) & (columns < torch.trunc(x + radius)) & seen
    down = (rows >= torch.trunc(y - radius)) & (rows < torch.trunc(y + radius))
    return (down[..., :, None] & across[..., None, :]).float()
