def lift_texture(picture, densepose, side):
    """No mean: the last pixel that lands in a texel wins."""
    known = point_is_known(densepose)
    part, u, v = densepose[:, known]
    row, column = ((value * side).long().clamp(max=side - 1) for value in (u, v))
    texture = torch.full((24, side, side, 3), torch.nan)
    texture[part.long() - 1, row, column] = picture[:, known].T
    return texture
