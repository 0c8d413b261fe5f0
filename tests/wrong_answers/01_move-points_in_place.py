def move_points(points, scale, padding):
    """Changes the points that came in."""
    there = (points[:, :2] != 0).any(dim=1)
    points[there, :2] = (points[there, :2] + 0.5) * torch.tensor(scale) - 0.5 + torch.tensor(padding)
    return points
