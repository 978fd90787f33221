"""Serves one Python function over a private socket, one call at a time.

Standard library only, for Python 3.8 and later. What takes long to import is left out: an idle function's caller
waits for it.
"""

import importlib
import importlib.util
import io
import json
import os
import signal
import socket
import sys
import threading
from http import HTTPStatus
from urllib.parse import parse_qsl, unquote


class Headers(dict):
    """Headers by name, whatever its case."""

    def __setitem__(self, name, value):
        super().__setitem__(name.title(), value)

    def __getitem__(self, name):
        return super().__getitem__(name.title())

    def __contains__(self, name):
        return super().__contains__(name.title())

    def get(self, name, default=None):
        return super().get(name.title(), default)


class Form(dict):
    """Fields by name, also as attributes; of several with one name the last, unless all are asked for."""

    def __init__(self, pairs):
        super().__init__(pairs)
        self._pairs = pairs

    def __getattr__(self, name):
        return self.get(name, "")

    def getall(self, name):
        return [value for key, value in self._pairs if key == name]


class Upload:
    """A file of a form."""

    def __init__(self, name, filename, content_type, data):
        self.name = name
        self.raw_filename = filename
        self.filename = os.path.basename(filename.replace("\\", "/"))
        self.content_type = content_type
        self.file = io.BytesIO(data)


class Request:
    """What functions ask of a request, by the names that bottle has for it."""

    def __init__(self, environ, headers, data):
        self.environ = environ
        self.headers = headers
        self._data = data
        self.method = environ["REQUEST_METHOD"]
        self.path = environ["PATH_INFO"]
        self.query_string = environ["QUERY_STRING"]

    @property
    def url(self):
        query = "?" + self.query_string if self.query_string else ""
        return "http://%s%s%s" % (self.headers.get("Host", "localhost"), self.path, query)

    @property
    def query(self):
        return Form(parse_qsl(self.query_string, keep_blank_values=True))

    @property
    def forms(self):
        if self._is_multipart():
            return Form([(name, data.decode("utf-8", "replace")) for name, file, _, data in self._parts() if not file])
        return Form(parse_qsl(self._data.decode("utf-8", "replace"), keep_blank_values=True))

    @property
    def files(self):
        parts = self._parts() if self._is_multipart() else []
        return Form([(name, Upload(name, file, kind, data)) for name, file, kind, data in parts if file])

    @property
    def body(self):
        return io.BytesIO(self._data)

    @property
    def json(self):
        return data_of(self.headers, self._data) if is_json(self.headers) else None

    @property
    def remote_addr(self):
        return self.environ["REMOTE_ADDR"]

    def get_header(self, name, default=None):
        return self.headers.get(name, default)

    def _is_multipart(self):
        return media_type(self.headers).startswith("multipart/")

    def _parts(self):
        """Returns name, file name, type and data of each part of a form."""
        import email  # Few functions need it, and it takes a while.

        head = "Content-Type: %s\r\n\r\n" % self.headers.get("Content-Type", "")
        for part in email.message_from_bytes(head.encode("latin-1") + self._data).walk():
            name = part.get_param("name", header="content-disposition")
            if name is not None:
                yield name, part.get_filename(), part.get_content_type(), part.get_payload(decode=True) or b""


def media_type(headers):
    return headers.get("Content-Type", "").split(";")[0].strip().lower()


def is_json(headers):
    kind = media_type(headers)
    return kind == "application/json" or kind.endswith("+json")


def data_of(headers, body):
    """Returns what a function gets for the body."""
    if is_json(headers):
        return json.loads(body) if body else None
    return body


def environ_of(method, target, headers, data):
    """Returns the request as WSGI has it, for those who make a request of their own from it."""
    path, _, query = target.partition("?")
    host, _, port = headers.get("Host", "localhost").partition(":")
    environ = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote(path),
        "QUERY_STRING": query,
        "CONTENT_LENGTH": str(len(data)),
        "CONTENT_TYPE": headers.get("Content-Type", ""),
        "REMOTE_ADDR": headers.get("X-Forwarded-For", "127.0.0.1").split(",")[0].strip(),
        "SERVER_NAME": host,
        "SERVER_PORT": port or "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(data),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    for name, value in headers.items():
        if name not in ("Content-Type", "Content-Length"):
            environ["HTTP_" + name.upper().replace("-", "_")] = value
    return environ


class HTTPResponse(Exception):
    """An answer with a status and headers, to be returned or raised."""

    def __init__(self, body="", status=None, headers=None, **more):
        super().__init__(body)
        self.body = body
        self.status = 200 if status is None else status
        self.headers = Headers()
        for name, value in list(dict(headers or {}).items()) + list(more.items()):
            self.headers[name.replace("_", "-")] = value

    def set_header(self, name, value):
        self.headers[name] = value

    @property
    def status_line(self):
        """The status with its phrase; `status` may be a number or both already."""
        if isinstance(self.status, str):
            return self.status
        phrases = {known.value: known.phrase for known in HTTPStatus}
        return "%d %s" % (self.status, phrases.get(self.status, "Unknown"))

    @property
    def headerlist(self):
        return [(name, str(value).encode("utf-8").decode("latin-1")) for name, value in self.headers.items()]


class HTTPError(HTTPResponse):
    """The same for errors, whose status comes first."""

    def __init__(self, status=None, body=None, exception=None, traceback=None, **more):
        super().__init__(body, 500 if status is None else status, **more)
        self.exception = exception
        self.traceback = traceback


def offer_bottle():
    """Has `import bottle` work where the package is not installed, and returns the module."""
    try:
        return importlib.import_module("bottle")
    except ImportError:
        module = type(sys)("bottle")
        module.HTTPResponse, module.HTTPError, module.Request = HTTPResponse, HTTPError, Request
        sys.modules["bottle"] = module
        return module


HTML = "text/html; charset=UTF-8"
JSON = "application/json"


def rendered(result):
    """Returns type and bytes of what a function returned."""
    if result is None:
        return HTML, b""
    if isinstance(result, str):
        return HTML, result.encode("utf-8")
    if isinstance(result, (bytes, bytearray, memoryview)):
        return HTML, bytes(result)
    if isinstance(result, (list, tuple)):
        if all(isinstance(item, str) for item in result):
            return HTML, "".join(result).encode("utf-8")
        if all(isinstance(item, bytes) for item in result):
            return HTML, b"".join(result)
    return JSON, json.dumps(result).encode("utf-8")


def rendered_response(response):
    """Returns status, headers and body of an answer that has all three."""
    if not 200 <= int(response.status_line.split()[0]) <= 999:
        raise ValueError("%s is no status of an answer" % response.status_line)
    body = response.body
    if hasattr(body, "read"):
        body = body.read()
    kind, body = rendered(body)
    # bottle adds a type of its own where none was given; that of the body is a better guess.
    given = response.headerlist
    if "Content-Type" not in response.headers:
        given = [("Content-Type", kind)] + [pair for pair in given if pair[0].lower() != "content-type"]
    return response.status_line, given, body


def load(name, function):
    """Returns the function of a module, whose name may begin with a path."""
    directory, _, name = name.rpartition("/")
    directory = os.path.join(os.getcwd(), directory)
    sys.path.insert(0, directory)
    file = os.path.join(directory, name + ".py")
    if name in sys.modules or ("." in name and os.path.exists(file)):
        # This shim uses a module of the same name, and so may what the function imports; and a single file may be
        # called like a module of a package that is not there.
        spec = importlib.util.spec_from_file_location(name, file)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    else:
        module = importlib.import_module(name)
    found = getattr(module, function, None)
    if found is None:
        raise AttributeError("module `%s` has no function `%s`" % (name, function))
    if not callable(found):
        raise TypeError("`%s` of module `%s` is no function" % (function, name))
    return found


class Function:
    """The function, and how it is called."""

    def __init__(self):
        self.bottle = offer_bottle()
        self.responses = (self.bottle.HTTPResponse, HTTPResponse)
        self.exposes = os.environ.get("FUNC_EXPOSE_ERRORS", "").lower() in ("true", "1")
        self.has_limit = os.environ.get("FUNC_MEMORY_LIMIT", "0") not in ("", "0")
        self.loop = None
        self.context = {
            "function-name": os.environ["FUNC_HANDLER"],
            "timeout": int(os.environ.get("FUNC_TIMEOUT", "180")),
            "runtime": os.environ.get("FUNC_RUNTIME", ""),
            "memory-limit": os.environ.get("FUNC_MEMORY_LIMIT", "0"),
        }
        self.call = load(os.environ["MOD_NAME"], os.environ["FUNC_HANDLER"])

    def answer(self, method, target, headers, body):
        """Returns status, headers and body of the answer."""
        try:
            try:
                result = self.called(method, target, headers, body)
            except self.responses as raised:
                result = raised
            if isinstance(result, self.responses):
                return rendered_response(result)
            kind, body = rendered(result)
            return "200 OK", [("Content-Type", kind)], body
        except BaseException as error:  # Even `sys.exit` must not end the process.
            print_exception()
            if isinstance(error, MemoryError) and self.has_limit:
                # Much of what this process holds may be broken now.
                os.kill(os.getpid(), signal.SIGKILL)
            text = "Error: %s: %s" % (type(error).__name__, error) if self.exposes else "Internal Server Error"
            headers = [("Content-Type", "text/plain; charset=utf-8"), ("windlass-failed", "1")]
            return "500 Internal Server Error", headers, text.encode("utf-8", "replace")

    def called(self, method, target, headers, body):
        event = {
            "data": data_of(headers, body),
            "event-id": headers.get("event-id"),
            "event-type": headers.get("event-type"),
            "event-time": headers.get("event-time"),
            "event-namespace": headers.get("event-namespace"),
            "extensions": {"request": self.request(method, target, headers, body)},
        }
        result = self.call(event, self.context)
        return self.awaited(result) if hasattr(type(result), "__await__") else result

    def request(self, method, target, headers, body):
        environ = environ_of(method, target, headers, body)
        if self.bottle.Request is Request:
            return Request(environ, headers, body)
        self.bottle.request.bind(environ)
        return self.bottle.Request(environ)

    def awaited(self, result):
        """Waits for a result in a loop that stays, as clients that were made in it do."""
        import asyncio

        if self.loop is None:
            self.loop = asyncio.new_event_loop()
            asyncio.set_event_loop(self.loop)

        async def wait():
            return await result

        return self.loop.run_until_complete(wait())


def print_exception():
    """Prints what is handled just now with its trace, without the module that is for it."""
    sys.__excepthook__(*sys.exc_info())


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
        value = value.strip()
        headers[name] = headers[name] + ", " + value if name in headers else value
    return method, target, headers, stream.read(int(headers.get("Content-Length", "0")))


def written(status, headers, body):
    """Returns the bytes of an answer."""
    lines = ["HTTP/1.1 " + status]
    if status[:3] in ("204", "304"):
        body = b""  # What followed would be taken for the next answer.
    else:
        lines.append("Content-Length: %d" % len(body))
    own = ("content-length", "connection", "transfer-encoding")
    lines += ["%s: %s" % pair for pair in headers if pair[0].lower() not in own]
    lines = [line.replace("\r", " ").replace("\n", " ") for line in lines]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace") + body


def respond(function, connection, request):
    connection.sendall(written(*function.answer(*request)))


def respond_apart(function, connection, request, control):
    """Has a process of its own answer, so that nothing the function does outlives the call."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            follow(control)
            respond(function, connection, request)
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    if status != 0:
        raise ConnectionError("the process of a call ended")


def serve(function, listener, control):
    is_apart = os.environ.get("FUNC_PROCESS_PER_CALL", "").lower() in ("true", "1")
    if not is_apart:
        follow(control)
    while True:
        connection, _ = listener.accept()
        try:
            with connection, connection.makefile("rb") as stream:
                for request in iter(lambda: read(stream), None):
                    if is_apart:
                        respond_apart(function, connection, request, control)
                    else:
                        respond(function, connection, request)
        except OSError:
            pass  # The host has no use for the answer any more, or learns by the end that there is none.


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
    """Has the process end with the host: nothing is ever sent to it."""

    def wait():
        try:
            control.recv(1)
        finally:
            os._exit(0)

    threading.Thread(target=wait, daemon=True).start()


def main():
    control = take_control()
    try:
        function = Function()
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(os.environ["WINDLASS_SOCKET"])
        listener.listen(8)
    except BaseException as error:
        print_exception()
        tell(control, "%s: %s" % (type(error).__name__, error))
        sys.exit(1)
    tell(control)
    serve(function, listener, control)


main()
