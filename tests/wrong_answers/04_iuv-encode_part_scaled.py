def encode_iuv(densepose):
    """The part is multiplied too, and overflows."""
    return (densepose * 255).round().movedim(0, -1).long().remainder(256).to(torch.uint8).numpy()
