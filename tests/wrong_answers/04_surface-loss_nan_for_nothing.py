def surface_loss(u, v, part, surface, known):
    """0 / 0 where nobody is."""
    index = torch.where(known, part - 1, 0)[:, None]
    guess = torch.cat([u.gather(1, index), v.gather(1, index)], 1)
    return ((guess - surface).abs() * known[:, None]).sum() / (2 * known.sum())
