def box_flow(person_box, garment_box, size):
    """Keeps the garment's aspect: the width decides about the height as well."""
    points = warp.pixel_indices(size)
    factor = (garment_box[2] - garment_box[0]) / (person_box[2] - person_box[0])
    return (garment_box[:2] + (points - person_box[:2]) * factor).permute(2, 0, 1)
