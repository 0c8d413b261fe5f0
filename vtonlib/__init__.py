"""vtonlib: the library that the course on image-based virtual try-on builds up and imports.

Imports run one way: labels, sample -> represent -> layouts -> studio, perceive, warp, nets -> systems -> course.
"""

__version__ = "0.1.0"
