"""What the documents show: docstrings, the README's lines, the examples; and CPython's own tests."""

from __future__ import annotations

import doctest
import importlib
import importlib.util
import io
import json
import pkgutil
import re
import shutil
import subprocess
import sys
import unittest
import urllib.error
import urllib.request

import pipeline_zmq as pl
from pipeline_zmq import _service
from services import ServiceCase
from support import LIMIT_SECONDS, TESTS, Case, by_value, cloudpickle, environment, numpy

EXAMPLES = TESTS.parent / "examples"


class Documents(Case):
    def test_examples_in_docstrings_give_what_they_show(self):
        tried = 0
        for found in pkgutil.iter_modules(pl.__path__):
            if found.name in ("__main__", "_native", "_service", "bench"):
                continue
            module = importlib.import_module(f"pipeline_zmq.{found.name}")
            failed, count = doctest.testmod(module)
            self.assertEqual(failed, 0, found.name)
            tried += count
        failed, count = doctest.testmod(pl)
        self.assertEqual(failed, 0)
        self.assertGreater(tried + count, 5)

    def test_every_public_name_is_there_and_says_what_it_is(self):
        for name in pl.__all__:
            value = getattr(pl, name)
            self.assertTrue(value.__doc__, name)
        self.assertLessEqual(set(pl.__all__), set(dir(pl)))

    @by_value
    def test_the_readmes_lines_run_as_they_are_pasted(self):
        readme = (TESTS.parent / "README.md").read_text()
        blocks = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
        self.assertGreaterEqual(len(blocks), 2)
        for block in blocks:
            if "tcp://" in block or "pl.connect" in block:
                continue  # it waits for workers of other machines, or for a service
            with self.subTest(block[:60]):
                told = self.script(block)
                self.assertEqual((told.returncode, told.stderr), (0, ""))


class Examples(Case):
    def run_example(self, name, *arguments):
        told = subprocess.run(
            [sys.executable, EXAMPLES / name, *arguments],
            env=environment(),
            cwd=self.folder(),
            capture_output=True,
            text=True,
            timeout=LIMIT_SECONDS,
        )
        self.assertEqual((told.returncode, told.stderr), (0, ""))
        return told.stdout

    @unittest.skipIf(numpy is None or cloudpickle is None, "numpy or cloudpickle is not installed")
    def test_monte_carlo(self):
        told = self.run_example("monte_carlo.py", "40", "20000")
        self.assertRegex(told, r"pi is about 3\.1\d+ after 800,000 points")

    @unittest.skipUnless(cloudpickle and importlib.util.find_spec("PIL"), "Pillow is not installed")
    def test_thumbnails(self):
        told = self.run_example("thumbnails.py")
        self.assertIn("19 thumbnails, 1 file failed", told)
        self.assertIn("broken.png: UnidentifiedImageError", told)

    @by_value
    def test_crawler(self):
        told = self.run_example("crawler.py", "200")
        self.assertIn("200 pages", told)
        self.assertIn("2 are missing", told)

    @by_value
    def test_pool(self):
        told = self.run_example("pool.py", "pipeline_zmq")
        self.assertEqual(told, self.run_example("pool.py", "multiprocessing"))


class ServiceExamples(ServiceCase):
    def up_example(self, name):
        """Starts the service of an example, in a copy of it."""
        folder = self.folder() / "examples"
        shutil.copytree(EXAMPLES, folder)
        text = (folder / f"{name}.toml").read_text()
        (folder / f"{name}.toml").write_text(text.replace('"python3"', json.dumps(sys.executable)))
        return self.up_file(folder / f"{name}.toml")

    def began_example(self, name, *arguments):
        return self.began((EXAMPLES / name).read_text(), *arguments)

    def told_by(self, name, *arguments):
        process = self.began_example(name, *arguments)
        told = process.communicate(timeout=LIMIT_SECONDS)
        self.assertEqual((process.returncode, told[1]), (0, ""))
        return told[0].splitlines()

    def test_examples_in_docstrings_of_services_give_what_they_show(self):
        names = {"squares": self.service("square")._name}
        failed, tried = doctest.testmod(_service, extraglobs=names, optionflags=doctest.ELLIPSIS)
        self.assertEqual(failed, 0)
        self.assertGreater(tried, 5)

    def test_the_readmes_lines_run_against_the_service_that_they_are_for(self):
        readme = (TESTS.parent / "README.md").read_text()
        blocks = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
        (block,) = (block for block in blocks if "pl.connect" in block)
        service = self.service("square")
        told = self.script(block.replace('"squares"', repr(service._name)))
        self.assertEqual((told.returncode, told.stderr), (0, ""))
        self.assertEqual(told.stdout.splitlines()[:2], ["49", "144"])

    def test_async_call(self):
        told = self.told_by("async_call.py", self.up_example("async_call"))
        self.assertEqual(
            told,
            ["ready: False", "value: 144", "ready: True", "by its text: 49", "awaited: [9, 16, 25]"],
        )

    def test_tasks(self):
        told = self.told_by("tasks_client.py", self.up_example("tasks"))
        self.assertEqual(
            told,
            [
                "done: 5",
                "done: report for ada, at attempt 3",
                "failed after 4 attempts: ValueError: no such account",
                "done: 42",
            ],
        )

    @unittest.skipUnless(importlib.util.find_spec("PIL"), "Pillow is not installed")
    def test_images_over_http(self):
        from PIL import Image

        process = self.began_example("image_server.py", self.up_example("images"), "3")
        address = process.stdout.readline().strip()
        photo = io.BytesIO()
        Image.new("RGB", (400, 300), "red").save(photo, "JPEG")

        def posted(data):
            return urllib.request.urlopen(f"{address}?64", data, LIMIT_SECONDS)

        with posted(photo.getvalue()) as answer, Image.open(io.BytesIO(answer.read())) as small:
            self.assertEqual((answer.headers["Content-Type"], small.size), ("image/png", (64, 48)))
        with self.assertRaises(urllib.error.HTTPError) as refused:
            posted(b"this is no image")
        self.assertEqual(refused.exception.code, 422)
        refused.exception.close()
        posted(photo.getvalue()).close()
        told = process.communicate(timeout=LIMIT_SECONDS)
        self.assertEqual((process.returncode, *told), (0, "", ""))


class Benches(Case):
    def test_each_row_is_measured_against_each_rival(self):
        told = subprocess.run(
            [
                sys.executable,
                "-m",
                "pipeline_zmq.bench",
                "--scale",
                "0.001",
                "--pairs",
                "1",
                "--output",
                "json",
            ],
            env=environment(),
            capture_output=True,
            text=True,
            timeout=LIMIT_SECONDS,
        )
        rows = [json.loads(line) for line in told.stdout.splitlines()]
        self.assertEqual(told.returncode, 0, told.stderr)
        names = {"numbers", "lines", "call", "calls", "start"} | ({"arrays"} if numpy else set())
        self.assertEqual({row["row"] for row in rows}, names)
        self.assertEqual({row["against"] for row in rows}, {"pool", "futures"})
        self.assertTrue(all(row["ours"] > 0 and row["theirs"] > 0 for row in rows))


class OthersTests(Case):
    # They wait for many a time limit.
    patience = 600

    def test_cpythons_own_tests_pass_or_say_why_not(self):
        try:
            importlib.import_module("test._test_multiprocessing")
            importlib.import_module("test.test_concurrent_futures")
        except ImportError as error:
            self.skipTest(f"CPython's tests are not installed: {error}")
        told = subprocess.run(
            [sys.executable, TESTS / "cpython" / "run.py"],
            env=environment(),
            capture_output=True,
            text=True,
            timeout=self.patience,
        )
        self.assertEqual(told.returncode, 0, told.stdout + told.stderr)


if __name__ == "__main__":
    unittest.main()
