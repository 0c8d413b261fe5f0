def mask_gradient(warped, rendered, composition_mask, person):
    """Takes 1 for painting. At one half that is the same picture, so the toy doesn't notice."""
    tryon = composition_mask * rendered + (1 - composition_mask) * warped
    per_channel = (tryon - person).sign() * (warped - rendered)
    return per_channel.sum(1, keepdim=True) / person.numel()
