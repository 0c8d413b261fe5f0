"""Public data sets and checkpoints: what there is, under which terms, and how it is had. So far it only lists."""
