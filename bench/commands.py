#!/usr/bin/env python3
"""commands - what reading a record costs the server, by the command that reads it: its CPU time, for a thousand
records in one pipeline, the only ones that there are but for as many; then for fifty of each of twenty tenants,
others each time, of ten thousand. It starts a redis-server of its own on a Unix socket, and ends it.

    python3 bench/commands.py          (docs/performance.md, "Where we lose")
"""
import os
import random
import shutil
import socket
import statistics
import struct
import subprocess
import tempfile
import time
import uuid

RECORDS = 1000  # in a pipeline
ROUNDS = 200
TENANTS = 10000
OF_A_TENANT = 100
ASKED_OF_A_TENANT = 50

WAYS = {
    "EXISTS": ["EXISTS", None],
    "HMGET title score": ["HMGET", None, "title", "score"],
    "HVALS": ["HVALS", None],
    "HMGET project_id title score": ["HMGET", None, "project_id", "title", "score"],
    "HGETALL": ["HGETALL", None],
    "HMGET, all four": ["HMGET", None, "project_id", "episode_id", "title", "score"],
}


def command(*arguments):
    parts = [a if isinstance(a, bytes) else a.encode() for a in arguments]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(p), p) for p in parts)


def text(value):
    """As MessagePack."""
    data = value.encode()
    return (bytes([0xA0 | len(data)]) if len(data) < 32 else bytes([0xD9, len(data)])) + data


def exchange(connection, request, lines):
    """Send commands and read the lines that answer them."""
    connection.sendall(request)
    end = b""
    while lines > 0:
        came = end + connection.recv(1 << 20)
        lines -= came.count(b"\r\n")
        end = came[-1:] if came.endswith(b"\r") else b""


def make_records(connection, numbers):
    """The keys of each of these tenants' records."""
    tenants = []
    for number in numbers:
        project, keys, request = f"project-{number:05}", [], []
        for i in range(OF_A_TENANT):
            identifier = uuid.UUID(int=random.getrandbits(128)).hex
            keys.append(f"Episode:{project}:{identifier}")
            request.append(command("HSET", keys[-1], "project_id", text(project),
                                   "episode_id", text(identifier), "title", text(f"Meeting number {i}"),
                                   "score", b"\xcb" + struct.pack(">d", i / 1024)))
        exchange(connection, b"".join(request), OF_A_TENANT)
        tenants.append(keys)
    return tenants


def cpu_time(server):
    with open(f"/proc/{server.pid}/schedstat", encoding="ascii") as file:
        return int(file.read().split()[0])


def measure(server, connection, choose, way):
    fields = {"EXISTS": 0, "HVALS": 4, "HGETALL": 8}.get(way[0], len(way) - 2)
    times = []
    for _ in range(ROUNDS):
        keys = choose()
        request = b"".join(command(*[key if part is None else part for part in way]) for key in keys)
        before = cpu_time(server)
        exchange(connection, request, RECORDS * (1 + 2 * fields))
        times.append((cpu_time(server) - before) / RECORDS)
    return statistics.median(times)


def main():
    folder = tempfile.mkdtemp()
    path = os.path.join(folder, "socket")
    server = subprocess.Popen(["redis-server", "--port", "0", "--unixsocket", path, "--save", "",
                               "--appendonly", "no"], stdout=subprocess.DEVNULL, cwd=folder)
    try:
        connection = socket.socket(socket.AF_UNIX)
        while connection.connect_ex(path) != 0:
            time.sleep(0.05)
        several = RECORDS // ASKED_OF_A_TENANT
        tenants = make_records(connection, range(several))
        same = [key for keys in tenants for key in keys[:ASKED_OF_A_TENANT]]
        warm = [measure(server, connection, lambda: same, way) for way in WAYS.values()]
        tenants += make_records(connection, range(several, TENANTS))

        def others():
            return [key for keys in random.sample(tenants, several) for key in keys[:ASKED_OF_A_TENANT]]

        print(f"{'':30}{'the same':>10}{'others':>10}")
        for (name, way), time_before in zip(WAYS.items(), warm):
            print(f"{name:30}{time_before:7.0f} ns{measure(server, connection, others, way):7.0f} ns")
    finally:
        server.terminate()
        server.wait()
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
