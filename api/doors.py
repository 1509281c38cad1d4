"""The short doors of this yard's API: a path of its own for a task."""

DOORS = {"/email": "email.send", "/images": "image.convert", "/collect": "page.collect"}
