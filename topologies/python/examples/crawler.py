"""Many requests open at once: `async def` in workers, against a server that this program starts.

    python crawler.py [PAGES]

Each worker has up to 100 pages open in one event loop. A real crawler would use aiohttp or httpx; the requests
here need nothing but the standard library.
"""

import asyncio
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pipeline_zmq as pl


class Pages(BaseHTTPRequestHandler):
    """Every hundredth page is missing."""

    def do_GET(self):
        number = int(self.path.rpartition("/")[2])
        body = f"<title>Page {number}</title>".encode()
        self.send_response(404 if number % 100 == 99 else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 1_000
    daemon_threads = True


async def fetch(address, number):
    """The status and the title of a page."""
    reader, writer = await asyncio.open_connection(*address)
    try:
        writer.write(f"GET /{number} HTTP/1.0\r\nHost: {address[0]}\r\n\r\n".encode())
        await writer.drain()
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    finally:
        writer.close()
        await writer.wait_closed()
    title = body.partition(b"<title>")[2].partition(b"</title>")[0].decode()
    return int(head.split()[1]), title


def main(pages=1_000):
    server = Server(("127.0.0.1", 0), Pages)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    missing = []
    with pl.Pool(2, concurrency=100, retries=3, timeout=30) as pool:
        found = pool.starmap(fetch, [(server.server_address, number) for number in range(pages)])
    for status, title in found:
        if status != 200:
            missing.append(title)
    server.shutdown()
    print(f"{len(found)} pages, of which {len(missing)} are missing: {', '.join(missing)}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
