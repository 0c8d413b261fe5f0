def lift_texture(picture, densepose, side):
    """Points that aren't known land in the first texel of their part."""
    known = densepose[0] > 0
    part, u, v = densepose[:, known]
    row, column = ((value * side).long().clamp(max=side - 1) for value in (u, v))
    number = ((part.long() - 1) * side + row) * side + column
    sums = torch.zeros(24 * side**2, 3).index_add(0, number, picture[:, known].T)
    counts = torch.bincount(number, minlength=24 * side**2)
    return (sums / counts[:, None]).reshape(24, side, side, 3)
