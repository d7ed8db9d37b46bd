import shop.prices


def work(value):
    return shop.prices.total(value)
