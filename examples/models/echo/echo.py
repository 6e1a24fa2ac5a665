"""Responds to GET /echo/<x> with <x>, and to other requests with 404, for hosts without OpenBSD's nc."""

from __future__ import annotations

import socketserver
import sys


class Echo(socketserver.StreamRequestHandler):
    """A connection with one request. As with nc, lines end with LF, and the response ends with the connection."""

    timeout = 10

    def handle(self) -> None:
        method, target, *_ = [*self.rfile.readline(65_536).split(), b"", b""]
        while self.rfile.readline(65_536).strip():
            pass
        path = target.partition(b"?")[0]
        if method == b"GET" and path.startswith(b"/echo/"):
            self.wfile.write(b"HTTP/1.0 200 OK\nContent-Type: text/plain\n\n" + path.removeprefix(b"/echo/"))
        elif method:  # a connection without a request is a health check
            self.wfile.write(b"HTTP/1.0 404 Not Found\nContent-Type: text/plain\n\nnot found\n")


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128


if __name__ == "__main__":
    with Server((sys.argv[1], int(sys.argv[2])), Echo) as server:
        server.serve_forever()
