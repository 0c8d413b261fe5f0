def log_polar(points, i, unit):
    """No full turn is added to negative angles: they are rounded towards 0 and counted from the end."""
    ends = unit * torch.tensor([1 / 8, 1 / 4, 1 / 2, 1, 2])
    offsets = torch.cat([points[:i], points[i + 1 :]]) - points[i]
    ring = (offsets.norm(dim=1)[:, None] >= ends).sum(1)
    direction = (torch.atan2(offsets[:, 1], offsets[:, 0]) / (2 * math.pi) * 12).long()
    histogram = torch.zeros(12, 5)
    for d, r in zip(direction.tolist(), ring.tolist()):
        if r < 5:
            histogram[d, r] += 1
    return histogram / histogram.sum()
