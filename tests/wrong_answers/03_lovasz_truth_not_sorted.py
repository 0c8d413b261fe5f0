def lovasz_of_label(p, truth):
    """Sorts the errors and leaves the truth in its old order."""
    errors, _ = (truth - p).abs().sort(descending=True)
    ordered = truth
    intersection = ordered.sum() - ordered.cumsum(0)
    union = ordered.sum() + (1 - ordered).cumsum(0)
    steps = torch.diff(1 - intersection / union, prepend=torch.zeros(1))
    return (errors * steps).sum()
