"""It has everything but work."""


def compute(value):
    return value
