def total(order):
    return order["n"
