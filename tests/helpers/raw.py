"""A server that sends what a test says, byte for byte: answers that the embedded archive would never give."""

import json
import threading
import zlib
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

IDS = [f"{letter}{'x' * 27}" for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"]


def listing(body, ids=IDS):
    """A right listing page for a request."""
    bounds = json.dumps(body.get("query", {}))
    after = bounds.partition('"gt": "')[2].partition('"')[0]
    upto = bounds.partition('"lte": "')[2].partition('"')[0]
    left = asked(body) if "entry_id:any" in bounds else [i for i in ids if i > after]
    left = [i for i in left if not upto or i <= upto]
    rows = [{"entry_id": i, "upload_id": "u" * 22} for i in left[: body["pagination"]["page_size"]]]
    return {"pagination": {"total": len(left)}, "data": rows}


def archives(body):
    """A right answer for a request for archives by name."""
    rows = [{"entry_id": i, "upload_id": "u" * 22, "archive": {"results": {"n": 1}}} for i in asked(body)]
    return {"data": rows}


def asked(body):
    """The ids that a request for archives names."""
    query = body["query"]
    return (query if "entry_id:any" in query else query["and"][1])["entry_id:any"]


def bomb(n_bytes, begin=b'{"data": "', letter=b"a"):
    """Gzip that inflates to so many bytes of one letter after a beginning, and has one byte in a thousand of
    these.
    """
    piece = 2**20
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    head = packer.compress(begin + letter * piece) + packer.flush(zlib.Z_FULL_FLUSH)
    again = packer.compress(letter * piece) + packer.flush(zlib.Z_FULL_FLUSH)
    return head + again * (n_bytes // piece)


def endless():
    """A body without an end."""
    while True:
        yield b" " * 2**16


@contextmanager
def raw(answer):
    """The url of a server; `answer(path, body)` gives a JSON tree, or (status, headers, bytes or chunks)."""
    requests = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            path = self.path.removeprefix("/api/v1/")
            try:
                body = json.loads(data)
            except ValueError:
                body = None
            requests.append((path, body))
            found = answer(path, body)
            status, headers, chunks = (
                found if isinstance(found, tuple) else (200, {}, json.dumps(found).encode())
            )
            chunks = [chunks] if isinstance(chunks, bytes) else chunks
            self.send_response(status)
            for name, value in {"Connection": "close", **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.close_connection = True
            try:
                for chunk in chunks:
                    self.wfile.write(chunk)
            except OSError:
                pass

        do_GET = do_POST  # noqa: N815

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/api/v1", requests
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
