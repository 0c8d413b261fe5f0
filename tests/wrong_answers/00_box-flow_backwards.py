def box_flow(person_box, garment_box, size):
    """Sends where it should ask: garment and person are swapped."""
    points = warp.pixel_indices(size)
    factor = (person_box[2:] - person_box[:2]) / (garment_box[2:] - garment_box[:2])
    return (person_box[:2] + (points - garment_box[:2]) * factor).permute(2, 0, 1)
