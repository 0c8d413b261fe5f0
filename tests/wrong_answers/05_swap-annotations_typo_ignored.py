def swapped(given, predicted, *steps):
    """Passes over a step that it doesn't know."""
    made = {"pose": ("pose", "hands", "skeleton"), "parse": ("parse",), "densepose": ("densepose",)}
    names = [name for step in steps for name in made.get(step, ())]
    return replace(given, **{name: getattr(predicted, name) for name in names})
