def correlation(a, b):
    """B's places become the channels, and A's stay places."""
    places_b = b.transpose(2, 3).flatten(2)
    volume = places_b.transpose(1, 2) @ a.flatten(2)
    return volume.unflatten(2, a.shape[2:])
