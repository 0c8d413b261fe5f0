def move_points(points, scale, padding):
    """Adds the padding before scaling, as if it were in pixels of the photograph."""
    missing = (points[:, :2] == 0).all(dim=1)
    moved = points.clone()
    moved[:, :2] = (points[:, :2] + torch.tensor(padding) + 0.5) * torch.tensor(scale) - 0.5
    moved[missing, :2] = 0
    return moved
