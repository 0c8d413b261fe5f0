def otsu(counts):
    """The distance of the means alone: a single pixel far away wins."""
    share = counts.double() / counts.sum()
    below = share.cumsum(0)
    moment = (share * torch.arange(len(counts))).cumsum(0)
    between = (moment[-1] * below - moment).square() / (below * (1 - below)).square().clamp(min=1e-12)
    both = (counts.cumsum(0) > 0) & (counts.cumsum(0) < counts.sum())
    return (between * both).argmax().item()
