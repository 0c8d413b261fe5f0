def disc_heatmaps(pose, size, radius=4.0):
    """Compares x with the rows and y with the columns."""
    height, width = size
    across = (torch.arange(width) - pose[..., 1, None]) ** 2
    down = (torch.arange(height) - pose[..., 0, None]) ** 2
    inside = down[..., :, None] + across[..., None, :] <= radius**2
    return (inside & (pose[..., 2] > 0)[..., None, None]).float()
