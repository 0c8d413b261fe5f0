def lovasz_of_label(p, truth):
    """A union that false pixels do not enlarge."""
    errors, order = (truth - p).abs().sort(descending=True)
    ordered = truth[order]
    intersection = ordered.sum() - ordered.cumsum(0)
    union = ordered.sum()
    steps = torch.diff(1 - intersection / union, prepend=torch.zeros(1))
    return (errors * steps).sum()
