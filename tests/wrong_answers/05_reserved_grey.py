def reserved(person, parse):
    """Masks first and converts then: 0 in [-1, 1] is middle grey."""
    head = torch.isin(parse, torch.tensor(HEAD_LABELS))
    return to_01(person * head)
