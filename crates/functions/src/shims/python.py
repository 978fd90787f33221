"""Serves one Python function over a private socket, one call at a time.

Standard library only, for Python 3.8 and later.
"""

import importlib
import inspect
import io
import json
import os
import socket
import sys
import threading
import traceback
from urllib.parse import parse_qsl, unquote


def take_control():
    """Returns the socket to the host, and gives the program an empty standard input instead."""
    control = socket.socket(fileno=os.dup(0))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return control


def tell(control, error=None):
    control.sendall((json.dumps({} if error is None else {"error": error}) + "\n").encode())


def follow(control):
    """Ends the process with the host: nothing is ever sent to it."""
    try:
        control.recv(1)
    finally:
        os._exit(0)


class Headers(dict):
    """Headers by name, whatever its case."""

    def get(self, name, default=None):
        return super().get(name.lower(), default)

    def __getitem__(self, name):
        return super().__getitem__(name.lower())

    def __contains__(self, name):
        return super().__contains__(name.lower())


class Request:
    """What functions ask of a request, by the names that bottle has for it."""

    def __init__(self, method, target, headers, data):
        self.method = method
        self.headers = headers
        self._data = data
        path, _, self.query_string = target.partition("?")
        self.path = unquote(path)
        self.environ = environ(method, self.path, self.query_string, headers, data)

    @property
    def url(self):
        query = "?" + self.query_string if self.query_string else ""
        return "http://%s%s%s" % (self.headers.get("host", "localhost"), self.path, query)

    @property
    def query(self):
        return Form(parse_qsl(self.query_string, keep_blank_values=True))

    @property
    def forms(self):
        return Form(parse_qsl(self._data.decode("utf-8", "replace"), keep_blank_values=True))

    @property
    def body(self):
        return io.BytesIO(self._data)

    @property
    def json(self):
        return json.loads(self._data) if is_json(self.headers) else None

    @property
    def remote_addr(self):
        return self.headers.get("x-forwarded-for", "127.0.0.1").split(",")[0].strip()

    def get_header(self, name, default=None):
        return self.headers.get(name, default)


class Form(dict):
    """Fields of a form; of several with one name the last counts, as an attribute or a key."""

    def __getattr__(self, name):
        return self.get(name, "")


def environ(method, path, query, headers, data):
    """Returns the request as WSGI has it, for those who make a request of their own from it."""
    made = {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "CONTENT_LENGTH": str(len(data)),
        "CONTENT_TYPE": headers.get("content-type", ""),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.input": io.BytesIO(data),
        "wsgi.url_scheme": "http",
    }
    for name, value in headers.items():
        made["HTTP_" + name.upper().replace("-", "_")] = value
    return made


class HTTPResponse(Exception):
    """An answer with a status and headers, to be returned or raised."""

    def __init__(self, body="", status=200, headers=None, **more):
        super().__init__(body)
        self.body = body
        self.status = status
        self.headers = dict(headers or {}, **{name.replace("_", "-"): it for name, it in more.items()})


class HTTPError(HTTPResponse):
    """The same for errors, whose status comes first."""

    def __init__(self, status=500, body="", headers=None, **more):
        super().__init__(body, status, headers, **more)


def offer_bottle():
    """Has `import bottle` work where the package is not installed, and returns the module."""
    try:
        return importlib.import_module("bottle")
    except ImportError:
        module = type(sys)("bottle")
        module.HTTPResponse, module.HTTPError, module.Request = HTTPResponse, HTTPError, Request
        sys.modules["bottle"] = module
        return module


def is_json(headers):
    kind = headers.get("content-type", "").split(";")[0].strip().lower()
    return kind == "application/json" or kind.endswith("+json")


def data_of(headers, body):
    """Returns what a function gets for the body."""
    if is_json(headers):
        return json.loads(body) if body else None
    return body


class Function:
    """The function, and how it is called."""

    def __init__(self):
        bottle = offer_bottle()
        self.responses = (bottle.HTTPResponse, HTTPResponse)
        self.bottle_request = getattr(bottle, "BaseRequest", None)
        sys.path.insert(0, os.getcwd())
        name, function = os.environ["MOD_NAME"], os.environ["FUNC_HANDLER"]
        module = self.module(name)
        self.call = getattr(module, function, None)
        if self.call is None:
            raise AttributeError("module `%s` has no function `%s`" % (name, function))
        if not callable(self.call):
            raise TypeError("`%s` of module `%s` is no function" % (function, name))
        self.context = {
            "function-name": function,
            "timeout": int(os.environ.get("FUNC_TIMEOUT", "180")),
            "runtime": os.environ.get("FUNC_RUNTIME", ""),
            "memory-limit": os.environ.get("FUNC_MEMORY_LIMIT", "0"),
        }
        self.exposes = os.environ.get("FUNC_EXPOSE_ERRORS", "").lower() in ("true", "1")

    @staticmethod
    def module(name):
        """Imports a module, of which the name may be a path."""
        directory, _, name = name.rpartition("/")
        if directory:
            sys.path.insert(0, os.path.join(os.getcwd(), directory))
        return importlib.import_module(name)

    def answer(self, method, target, headers, body):
        """Returns status, headers and body of the answer, and whether the function failed."""
        try:
            return self.rendered(self.called(method, target, headers, body)) + (False,)
        except self.responses as response:
            return self.rendered(response) + (False,)
        except BaseException as error:  # Even `sys.exit` must not end the process.
            traceback.print_exc()
            text = "Internal Server Error"
            if self.exposes:
                text = "Error: %s: %s" % (type(error).__name__, error)
            return 500, {"Content-Type": "text/plain; charset=utf-8"}, text.encode(), True

    def called(self, method, target, headers, body):
        request = Request(method, target, headers, body)
        if self.bottle_request is not None:
            request = self.bottle_request(request.environ)
        event = {
            "data": data_of(headers, body),
            "event-id": headers.get("event-id"),
            "event-type": headers.get("event-type"),
            "event-time": headers.get("event-time"),
            "event-namespace": headers.get("event-namespace"),
            "extensions": {"request": request},
        }
        result = self.call(event, self.context)
        if inspect.isawaitable(result):
            import asyncio

            async def awaited():
                return await result

            result = asyncio.run(awaited())
        return result

    def rendered(self, result):
        """Returns status, headers and body of what a function returned."""
        if isinstance(result, self.responses):
            status = getattr(result, "status_code", None) or result.status
            status = int(str(status).split()[0])
            given = result.headers
            given = dict(given.items() if hasattr(given, "items") else given)
            _, usual, body = self.rendered(result.body)
            return status, dict(usual, **given), body
        html = {"Content-Type": "text/html; charset=UTF-8"}
        if result is None:
            return 200, html, b""
        if isinstance(result, str):
            return 200, html, result.encode()
        if isinstance(result, (bytes, bytearray, memoryview)):
            return 200, html, bytes(result)
        if isinstance(result, (list, tuple)):
            if not result:
                return 200, html, b""
            if all(isinstance(item, str) for item in result):
                return 200, html, "".join(result).encode()
            if all(isinstance(item, bytes) for item in result):
                return 200, html, b"".join(result)
        return 200, {"Content-Type": "application/json"}, json.dumps(result).encode()


def read(stream):
    """Returns method, target, headers and body of the next request, or nothing at the end."""
    line = stream.readline()
    if not line:
        return None
    method, target, _ = line.decode("latin-1").split(" ", 2)
    headers = Headers()
    for line in iter(stream.readline, b"\r\n"):
        if not line:
            return None
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.strip().lower()] = value.strip()
    return method, target, headers, stream.read(int(headers.get("content-length", "0")))


def written(status, headers, body, failed):
    """Returns the bytes of an answer."""
    lines = ["HTTP/1.1 %d Answer" % status]
    own = ("content-length", "connection", "transfer-encoding")
    for name, value in headers.items():
        if name.lower() not in own:
            lines.append("%s: %s" % (name, str(value).replace("\r", " ").replace("\n", " ")))
    if failed:
        lines.append("windlass-failed: 1")
    lines.append("Content-Length: %d" % len(body))
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace") + body


def serve(function, listener):
    while True:
        connection, _ = listener.accept()
        try:
            with connection, connection.makefile("rb") as stream:
                for request in iter(lambda: read(stream), None):
                    connection.sendall(written(*function.answer(*request)))
        except OSError:
            pass  # The host has no use for the answer any more.


def main():
    control = take_control()
    try:
        function = Function()
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(os.environ["WINDLASS_SOCKET"])
        listener.listen(8)
    except BaseException as error:
        traceback.print_exc()
        tell(control, "%s: %s" % (type(error).__name__, error))
        sys.exit(1)
    threading.Thread(target=follow, args=(control,), daemon=True).start()
    tell(control)
    serve(function, listener)


main()
