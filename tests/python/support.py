"""What the Python tests share: a server of their own, and the smallest client that can look into it.

The client is here so that no test looks at a database through either library under test.
"""

import os
import shutil
import socket
import subprocess
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FOLDER = os.path.dirname(os.path.abspath(__file__))


class Client:
    """RESP over a socket: commands are lists of str, bytes or numbers; answers are bytes, int, list, None."""

    def __init__(self, port, database=0):
        self.socket = socket.create_connection(("127.0.0.1", port), 10)
        self.file = self.socket.makefile("rb")
        if database:
            self("SELECT", database)

    def __call__(self, *words):
        words = [w if isinstance(w, bytes) else str(w).encode() for w in words]
        self.socket.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words))
        return self.read()

    def read(self):
        line = self.file.readline()
        if not line:
            raise ConnectionError("the server closed the connection")
        mark, rest = line[:1], line[1:-2]
        if mark == b"-":
            raise RuntimeError(rest.decode())
        if mark == b"+":
            return rest
        if mark == b":":
            return int(rest)
        if mark == b"$":
            size = int(rest)
            return None if size < 0 else self.file.read(size + 2)[:-2]
        if mark == b"*":
            size = int(rest)
            return None if size < 0 else [self.read() for _ in range(size)]
        raise RuntimeError(f"not understood: {line!r}")

    def close(self):
        self.file.close()
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A redis-server (or valkey-server) on a free port, with nothing on disk that outlives it."""

    def __init__(self, port=None):
        program = shutil.which("redis-server") or shutil.which("valkey-server")
        if program is None:
            raise RuntimeError("no redis-server and no valkey-server on PATH")
        self.program = program
        self.folder = tempfile.mkdtemp(prefix="popoto-python-")
        self.port = port or free_port()
        self.path = os.path.join(self.folder, "socket")
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            [self.program, "--bind", "127.0.0.1", "--port", str(self.port), "--unixsocket", self.path,
             "--save", "", "--appendonly", "no", "--dir", self.folder,
             "--logfile", os.path.join(self.folder, "log")])
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                with Client(self.port) as client:
                    if client("PING") == b"PONG":
                        return
            except (OSError, RuntimeError):
                time.sleep(0.02)
        raise RuntimeError("the server does not start: " + self.folder)

    def url(self, database=0):
        return f"redis://127.0.0.1:{self.port}/{database}"

    def client(self, database=0):
        return Client(self.port, database)

    def halt(self):
        """Ends the server; start() brings it back, empty, on the same port."""
        self.process.terminate()
        self.process.wait()

    def stop(self):
        self.halt()
        shutil.rmtree(self.folder, ignore_errors=True)
