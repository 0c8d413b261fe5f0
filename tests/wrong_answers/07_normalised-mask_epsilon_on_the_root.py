def normalised_mask(logits, eps=1e-5):
    """Epsilon is added to the root: nearly the same for the usual epsilon, not for a large one."""
    mean = logits.mean((2, 3), keepdim=True)
    deviation = logits.std((2, 3), keepdim=True, correction=0)
    return ((logits - mean) / (deviation + eps)).sigmoid()
