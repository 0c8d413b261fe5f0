def encode_iuv(densepose):
    """V, U, I, as OpenCV writes it."""
    levels = densepose * torch.tensor([1.0, 255.0, 255.0])[:, None, None]
    return levels.round().movedim(0, -1).to(torch.uint8).numpy()[..., ::-1].copy()
