def surface_loss(u, v, part, surface, known):
    """The mean is taken over all pixels, so a small person costs less."""
    index = torch.where(known, part - 1, 0)[:, None]
    guess = torch.cat([u.gather(1, index), v.gather(1, index)], 1)
    return ((guess - surface).abs() * known[:, None]).mean()
