"""Previews of products, which compute."""

import os

from jobyard import Payload, task


class Product(Payload):
    number: int


class Preview(Payload):
    name: str
    made_by: int


@task("preview.draw", queue="gpu")
def draw_preview(product: Product) -> Preview:
    return Preview(name=f"product-{product.number}.png", made_by=os.getpid())
