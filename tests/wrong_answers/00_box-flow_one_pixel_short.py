def box_flow(person_box, garment_box, size):
    """Counts from centre to centre: boxes that are one pixel too small."""
    points = warp.pixel_indices(size)
    factor = (garment_box[2:] - garment_box[:2] - 1) / (person_box[2:] - person_box[:2] - 1)
    return (garment_box[:2] + 0.5 + (points - person_box[:2] - 0.5) * factor).permute(2, 0, 1)
