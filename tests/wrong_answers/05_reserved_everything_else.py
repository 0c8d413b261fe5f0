def reserved(person, parse):
    """The mask is inverted: everything but the head."""
    head = torch.isin(parse, torch.tensor(HEAD_LABELS))
    return to_01(person) * ~head
