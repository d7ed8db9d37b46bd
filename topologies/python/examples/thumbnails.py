"""Thumbnails of all images in a folder, with Pillow; a file that is no image fails alone.

    python thumbnails.py [FOLDER [TARGET]]

Without a folder it makes images of its own first, and a broken one among them.
"""

import random
import sys
import tempfile
from pathlib import Path

import pipeline_zmq as pl
from PIL import Image

SIZE = (128, 128)


def thumbnail(source, target):
    """Writes one thumbnail; its place is named by its source, so that doing it twice does no harm."""
    with Image.open(source) as image:
        image.thumbnail(SIZE)
        image.convert("RGB").save(target / f"{source.stem}.jpg")
    return image.size


def make_images(folder):
    numbers = random.Random(1)
    for place in range(19):
        color = tuple(numbers.randrange(256) for _ in range(3))
        Image.new("RGB", (640, 480), color).save(folder / f"image-{place:02}.png")
    (folder / "broken.png").write_bytes(b"this is no image")


def main(source, target):
    target.mkdir(exist_ok=True)
    files = sorted(path for path in source.iterdir() if path.is_file())
    made, failed = 0, 0
    with pl.Pool() as pool:
        calls = [(path, pool.apply_async(thumbnail, (path, target))) for path in files]
        for path, call in calls:
            try:
                call.get()
                made += 1
            except Exception as error:
                print(f"{path.name}: {type(error).__name__}")
                failed += 1
    print(f"{made} thumbnails, {failed} file{'s' * (failed != 1)} failed")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        source = Path(sys.argv[1])
        main(source, Path(sys.argv[2]) if len(sys.argv) > 2 else source / "thumbnails")
    else:
        with tempfile.TemporaryDirectory() as folder:
            make_images(Path(folder))
            main(Path(folder), Path(folder) / "thumbnails")
