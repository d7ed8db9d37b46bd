"""What the workers of images.toml do: a thumbnail of an image, both as bytes."""

import io

from PIL import Image


def thumbnail(job):
    """The image in ``job["image"]``, at most ``job["size"]`` wide and high, as a PNG."""
    with Image.open(io.BytesIO(job["image"])) as image:
        image.thumbnail((job["size"], job["size"]))
        out = io.BytesIO()
        image.save(out, "PNG")
    # Bytes in a result travel as text in base64.
    return {"size": list(image.size), "png": out.getvalue()}
