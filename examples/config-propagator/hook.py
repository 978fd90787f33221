"""Copies a ConfigMap into every namespace that a SharedConfig selects. Standard library only: hook.py [PORT]"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def customize(request):
    """Returns what must be seen besides the parent and its children: the source and the namespaces."""
    spec = request["parent"]["spec"]
    source = spec["source"]
    return {
        "relatedResources": [
            {
                "apiVersion": "v1",
                "resource": "configmaps",
                "namespace": source["namespace"],
                "names": [source["name"]],
            },
            {"apiVersion": "v1", "resource": "namespaces", "labelSelector": spec["namespaces"]},
        ]
    }


def sync(request):
    """Returns one copy for each namespace that is there to stay."""
    source = request["parent"]["spec"]["source"]
    related = request["related"]
    # In the second version of the protocol, keys of namespaced objects are always namespace/name.
    original = related["ConfigMap.v1"].get(f"{source['namespace']}/{source['name']}")
    if original is None:
        # No source is not "no copies wanted": what is there stays until somebody decides.
        copies = [copy(child, child["metadata"]) for child in request["children"]["ConfigMap.v1"].values()]
        return {"status": {"copies": len(copies), "problem": "no source"}, "children": copies}
    targets = [
        name
        for name, namespace in related["Namespace.v1"].items()
        if name != source["namespace"] and "deletionTimestamp" not in namespace["metadata"]
    ]
    copies = [copy(original, {"namespace": name, "name": source["name"]}) for name in sorted(targets)]
    return {"status": {"copies": len(copies)}, "children": copies}


def copy(original, at):
    """Returns a ConfigMap with the data of another one."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"namespace": at["namespace"], "name": at["name"]},
        **{field: original[field] for field in ("data", "binaryData") if field in original},
    }


HOOKS = {"/customize": customize, "/sync": sync}


class Handler(BaseHTTPRequestHandler):
    """Answers POST requests by the function of the path's name."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        """Answers a hook."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        hook = HOOKS.get(self.path)
        status, answer = (200, hook(json.loads(body))) if hook else (404, {})
        text = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        """Logs nothing: windlass prints what happens."""


if __name__ == "__main__":
    PORT = int(sys.argv[1]) if len(sys.argv) > 1 else 8093
    ThreadingHTTPServer(("127.0.0.1", PORT), Handler).serve_forever()
