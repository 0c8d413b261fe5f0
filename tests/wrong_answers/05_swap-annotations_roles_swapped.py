def swapped(given, predicted, *steps):
    """Gives the named steps and predicts all others."""
    made = {"pose": ("pose", "hands", "skeleton"), "parse": ("parse",), "densepose": ("densepose",)}
    fields = {}
    for step in steps:
        if step not in made:
            raise ValueError(f"step: expected one of {', '.join(made)}, got {step!r}")
        fields |= {name: getattr(given, name) for name in made[step]}
    return replace(predicted, **fields)
