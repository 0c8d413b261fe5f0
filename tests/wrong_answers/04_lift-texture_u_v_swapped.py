def lift_texture(picture, densepose, side):
    """U gives the column and V the row."""
    known = point_is_known(densepose)
    part, u, v = densepose[:, known]
    row, column = ((value * side).long().clamp(max=side - 1) for value in (v, u))
    number = ((part.long() - 1) * side + row) * side + column
    sums = torch.zeros(24 * side**2, 3).index_add(0, number, picture[:, known].T)
    counts = torch.bincount(number, minlength=24 * side**2)
    return (sums / counts[:, None]).reshape(24, side, side, 3)
