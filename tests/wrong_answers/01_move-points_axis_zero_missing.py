def move_points(points, scale, padding):
    """Takes every zero coordinate for missing, also that of a joint in the first column or row."""
    moved = (points[:, :2] + 0.5) * torch.tensor(scale) - 0.5 + torch.tensor(padding)
    return torch.cat([torch.where(points[:, :2] == 0, 0.0, moved), points[:, 2:]], dim=1)
