def surface_loss(u, v, part, surface, known):
    """Hats and shoes count, with u = v = 0 as their truth."""
    body = (part > 0) & (part < 25)
    index = torch.where(body, part - 1, 0)[:, None]
    guess = torch.cat([u.gather(1, index), v.gather(1, index)], 1)
    return ((guess - surface).abs() * body[:, None]).sum() / (2 * body.sum()).clamp(min=1)
