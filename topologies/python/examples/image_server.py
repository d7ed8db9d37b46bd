"""Thumbnails over HTTP: a handler that calls the service of images.toml, and never waits without an end.

    pipeline up images.toml &
    python image_server.py [SERVICE [REQUESTS]]
    curl --data-binary @photo.jpg http://127.0.0.1:PORT/?64 > small.png

The images are made in the workers' processes, so this one only waits: a thread a request is enough, all of them share
one connection. With REQUESTS it ends after so many.
"""

import base64
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pipeline_zmq as pl

LARGEST = 10 << 20
PATIENCE_SECONDS = 15


class Thumbnails(BaseHTTPRequestHandler):
    service: pl.Service

    def do_POST(self):
        length = int(self.headers.get("Content-Length", 0))
        if length > LARGEST:
            return self.send_error(413)
        size = int(self.path.partition("?")[2] or 128)
        job = {"image": self.rfile.read(length), "size": size}
        try:
            # Rather no than later: what can't be queued is somebody else's to do.
            made = self.service.submit(job, block=False).get(PATIENCE_SECONDS)
        except (pl.Full, pl.NoWorkers, pl.NoService) as error:
            return self.send_error(503, str(error))
        except TimeoutError:
            return self.send_error(504)
        except pl.UnitError as error:
            return self.send_error(422, str(error).partition("\n")[0])
        png = base64.b64decode(made["png"])
        self.send_response(200)
        self.send_header("Content-Type", "image/png")
        self.send_header("Content-Length", str(len(png)))
        self.end_headers()
        self.wfile.write(png)

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    # Whoever has been let in has an answer before the end.
    daemon_threads = False


def main(name="images", requests=None):
    with pl.connect(name) as Thumbnails.service, Server(("127.0.0.1", 0), Thumbnails) as server:
        print(f"http://127.0.0.1:{server.server_address[1]}/", flush=True)
        if requests is None:
            server.serve_forever()
        for _ in range(int(requests)):
            server.handle_request()


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except KeyboardInterrupt:
        pass
