def mask_gradient(warped, rendered, composition_mask, person):
    """Less garment instead of more: the second factor has the wrong sign."""
    tryon = composition_mask * warped + (1 - composition_mask) * rendered
    per_channel = (tryon - person).sign() * (rendered - warped)
    return per_channel.sum(1, keepdim=True) / person.numel()
