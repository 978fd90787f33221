"""A sync hook that answers only those it knows: by TLS certificate and by token. Standard library only.

hook.py DIR [PORT], where DIR is what certificates.sh made.
"""

import hmac
import json
import ssl
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


def sync(request):
    """Returns the status and the children that the parent should have."""
    parent = request["parent"]
    child = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": parent["metadata"]["name"]},
        "data": {"text": parent["spec"]["text"]},
    }
    return {"status": {"seen": len(request["children"]["ConfigMap.v1"])}, "children": [child]}


class Handler(BaseHTTPRequestHandler):
    """Answers POST requests to /sync that carry the token."""

    protocol_version = "HTTP/1.1"
    token = ""

    def do_POST(self):
        """Answers /sync."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        expected = f"Bearer {self.token}"
        if not hmac.compare_digest(self.headers.get("Authorization", ""), expected):
            status, answer = 401, {"error": "not the right token"}
        elif self.path == "/sync":
            status, answer = 200, sync(json.loads(body))
        else:
            status, answer = 404, {}
        text = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        """Logs nothing: windlass prints what happens."""


class Server(ThreadingHTTPServer):
    """Serves over TLS, to clients with a certificate of the authority."""

    def __init__(self, address, directory):
        """Reads the certificates and the token."""
        super().__init__(address, Handler)
        Handler.token = (directory / "token").read_text(encoding="ascii").strip()
        self.tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=directory / "ca.crt")
        self.tls.verify_mode = ssl.CERT_REQUIRED
        self.tls.load_cert_chain(directory / "server.crt", directory / "server.key")

    def finish_request(self, request, client_address):
        """Shakes hands in the thread of the request, so that a slow client holds up nobody else."""
        with self.tls.wrap_socket(request, server_side=True) as secured:
            super().finish_request(secured, client_address)

    def handle_error(self, request, client_address):
        """Says in one line why a client was turned away."""
        print(f"{client_address[0]}: {sys.exc_info()[1]}", file=sys.stderr)


if __name__ == "__main__":
    PORT = int(sys.argv[2]) if len(sys.argv) > 2 else 8094
    Server(("127.0.0.1", PORT), Path(sys.argv[1])).serve_forever()
