"""The sync hook of a KIND: it should have a ConfigMap with its text. Standard library only."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def sync(request):
    """Returns the status and the children that the parent should have."""
    parent = request["parent"]
    child = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": parent["metadata"]["name"]},
        "data": {"text": parent["spec"]["text"]},
    }
    return {"status": {"children": len(request["children"]["ConfigMap.v1"])}, "children": [child]}


class Handler(BaseHTTPRequestHandler):
    """Answers POST requests to /sync."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        """Answers one request."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status, answer = (200, sync(json.loads(body))) if self.path == "/sync" else (404, {})
        text = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        """Logs nothing: windlass prints what happens."""


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", 8099), Handler).serve_forever()
