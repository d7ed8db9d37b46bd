raise RuntimeError("a check imports nothing")


def total(order):
    return order["n"] * order["price"]
