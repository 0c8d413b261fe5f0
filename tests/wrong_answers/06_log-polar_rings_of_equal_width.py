def log_polar(points, i, unit):
    """Rings of equal width: nearby no more is seen than far away."""
    ends = unit * torch.linspace(0.4, 2, 5)
    offsets = torch.cat([points[:i], points[i + 1 :]]) - points[i]
    ring = (offsets.norm(dim=1)[:, None] >= ends).sum(1)
    direction = (torch.atan2(offsets[:, 1], offsets[:, 0]) / (2 * math.pi) % 1 * 12).long().clamp(max=11)
    histogram = torch.zeros(12, 5)
    for d, r in zip(direction.tolist(), ring.tolist()):
        if r < 5:
            histogram[d, r] += 1
    return histogram / histogram.sum()
