def resize_weights(inputs, outputs):
    """Right for reducing; enlarging narrows the triangle below one source pixel and gives steps."""
    scale = inputs / outputs
    centres = (torch.arange(outputs) + 0.5) * scale - 0.5
    distances = (torch.arange(inputs) - centres[:, None]).abs()
    weights = (1 - distances / scale).clamp(min=0)
    return weights / weights.sum(dim=1, keepdim=True)
