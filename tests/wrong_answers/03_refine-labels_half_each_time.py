def refine_labels(labels, prediction, cycle):
    """Half and half in every cycle: the first labels are forgotten."""
    mean = (labels + prediction) / 2
    return torch.where(labels.sum(-3, keepdim=True) > 0.5, mean, labels)
