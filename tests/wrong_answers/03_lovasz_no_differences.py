def lovasz_of_label(p, truth):
    """The Jaccard loss itself in place of its steps."""
    errors, order = (truth - p).abs().sort(descending=True)
    ordered = truth[order]
    intersection = ordered.sum() - ordered.cumsum(0)
    union = ordered.sum() + (1 - ordered).cumsum(0)
    return (errors * (1 - intersection / union)).sum()
