def lift_texture(picture, densepose, side):
    """An empty texel is black, not NaN."""
    known = point_is_known(densepose)
    part, u, v = densepose[:, known]
    row, column = ((value * side).long().clamp(max=side - 1) for value in (u, v))
    number = ((part.long() - 1) * side + row) * side + column
    sums = torch.zeros(24 * side**2, 3).index_add(0, number, picture[:, known].T)
    counts = torch.bincount(number, minlength=24 * side**2).clamp(min=1)
    return (sums / counts[:, None]).reshape(24, side, side, 3)
