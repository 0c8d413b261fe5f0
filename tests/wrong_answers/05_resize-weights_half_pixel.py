def resize_weights(inputs, outputs):
    """Centres without the half pixels: everything moves up and to the left."""
    scale = inputs / outputs
    centres = torch.arange(outputs) * scale
    distances = (torch.arange(inputs) - centres[:, None]).abs()
    weights = (1 - distances / max(scale, 1)).clamp(min=0)
    return weights / weights.sum(dim=1, keepdim=True)
