def mirror(densepose):
    """A point that isn't known becomes (1, 0) or (0, 1), a corner of its part."""
    part, u, v = densepose.flip(-1)
    around = torch.isin(part, torch.tensor([3.0, 4, 5, 6, 23, 24]))
    u = torch.where(around, 1 - u, u)
    v = torch.where(part == 1, 1 - v, v)
    v = torch.where(part == 2, (2 * 0.4786 - v).clamp(0, 1), v)
    return torch.stack([torch.tensor(DENSEPOSE_MIRROR)[part.long()].float(), u, v])
