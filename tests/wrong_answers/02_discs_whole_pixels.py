def disc_heatmaps(pose, size, radius=4.0):
    """Rounds the joint to a whole pixel first, so that the outline forgets the fraction."""
    height, width = size
    across = (torch.arange(width) - pose[..., 0, None].round()) ** 2
    down = (torch.arange(height) - pose[..., 1, None].round()) ** 2
    inside = down[..., :, None] + across[..., None, :] <= radius**2
    return (inside & (pose[..., 2] > 0)[..., None, None]).float()
