def lovasz_of_label(p, truth):
    """Sorts by rising error."""
    errors, order = (truth - p).abs().sort()
    ordered = truth[order]
    intersection = ordered.sum() - ordered.cumsum(0)
    union = ordered.sum() + (1 - ordered).cumsum(0)
    steps = torch.diff(1 - intersection / union, prepend=torch.zeros(1))
    return (errors * steps).sum()
