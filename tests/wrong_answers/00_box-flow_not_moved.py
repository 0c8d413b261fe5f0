def box_flow(person_box, garment_box, size):
    """Scales about the corner of the picture and forgets to move."""
    points = warp.pixel_indices(size)
    factor = (garment_box[2:] - garment_box[:2]) / (person_box[2:] - person_box[:2])
    return (points * factor).permute(2, 0, 1)
