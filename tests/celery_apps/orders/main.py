"""Hands in an order, and prints what became of it."""

import json

from orders.app import app
from orders.tasks import charge, print_label, total


def main():
    results = {
        "total": total.delay({"pen": 3, "book": 1}, discount=10).get(timeout=30),
        "charged": charge.apply_async((17, 500), {"currency": "NOK"}, countdown=0.1).get(timeout=30),
        "label": print_label.delay(17, "Ada Lovelace", "London", copies=2).get(timeout=30),
        "elsewhere": print_label.apply_async((18,), queue="orders").get(timeout=30),
        "by name": app.send_task("orders.tasks.total", args=[{"pen": 1}]).get(timeout=30),
        "here": total({"pen": 2}),
    }
    print(json.dumps(results))


if __name__ == "__main__":
    main()
