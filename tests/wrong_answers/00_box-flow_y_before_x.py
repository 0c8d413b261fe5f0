def box_flow(person_box, garment_box, size):
    """Channel 0 is y and channel 1 is x."""
    points = warp.pixel_indices(size)
    factor = (garment_box[2:] - garment_box[:2]) / (person_box[2:] - person_box[:2])
    return (garment_box[:2] + (points - person_box[:2]) * factor).permute(2, 0, 1).flip(0)
