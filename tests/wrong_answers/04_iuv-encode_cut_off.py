def encode_iuv(densepose):
    """U and V are cut off instead of rounded."""
    levels = densepose * torch.tensor([1.0, 255.0, 255.0])[:, None, None]
    return levels.movedim(0, -1).to(torch.uint8).numpy()
