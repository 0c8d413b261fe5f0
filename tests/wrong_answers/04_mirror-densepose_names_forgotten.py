def mirror(densepose):
    """Left and right keep their names."""
    part, u, v = densepose.flip(-1)
    known = point_is_known(densepose.flip(-1))
    around = torch.isin(part, torch.tensor([3.0, 4, 5, 6, 23, 24])) & known
    u = torch.where(around, 1 - u, u)
    v = torch.where((part == 1) & known, 1 - v, v)
    v = torch.where((part == 2) & known, (2 * 0.4786 - v).clamp(0, 1), v)
    return torch.stack([part, u, v])
