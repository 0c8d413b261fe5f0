def log_polar(points, i, unit):
    """What is off the board is pushed into the last ring."""
    ends = unit * torch.tensor([1 / 8, 1 / 4, 1 / 2, 1, 2])
    offsets = torch.cat([points[:i], points[i + 1 :]]) - points[i]
    ring = (offsets.norm(dim=1)[:, None] >= ends).sum(1).clamp(max=4)
    direction = (torch.atan2(offsets[:, 1], offsets[:, 0]) / (2 * math.pi) % 1 * 12).long().clamp(max=11)
    histogram = torch.zeros(12, 5)
    for d, r in zip(direction.tolist(), ring.tolist()):
        histogram[d, r] += 1
    return histogram / histogram.sum()
