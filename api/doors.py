"""The short paths of the API, each for one task."""

DOORS = {"/email": "email.send", "/images": "image.convert", "/collect": "page.collect"}
