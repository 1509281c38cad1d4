"""What is done to an order after the customer has left."""

from decimal import Decimal

from orders.app import app

PRICES = {"pen": Decimal("1.20"), "book": Decimal("12.90")}


@app.task
def total(items, discount=0):
    price = sum(PRICES[name] * number for name, number in items.items())
    return str(price * (100 - discount) / 100)


@app.task(name="charge-card", bind=True, ignore_result=False)
def charge(self, order, cents, *, currency="EUR"):
    return [order, cents, currency, self.request.delivery_info["routing_key"]]


@app.task(bind=True)
def print_label(self, order, *lines, **options):
    return {
        "lines": list(lines),
        "copies": options.get("copies", 1),
        "queue": self.request.delivery_info["routing_key"],
    }
