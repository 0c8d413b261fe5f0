def correlation(a, b):
    """Numbers A's places row by row, k = y_a * w + x_a."""
    volume = a.flatten(2).transpose(1, 2) @ b.flatten(2)
    return volume.unflatten(2, b.shape[2:])
