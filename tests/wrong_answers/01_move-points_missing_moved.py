def move_points(points, scale, padding):
    """Moves the missing points too: they turn up in the corner."""
    moved = points.clone()
    moved[:, :2] = (points[:, :2] + 0.5) * torch.tensor(scale) - 0.5 + torch.tensor(padding)
    return moved
