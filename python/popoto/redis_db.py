"""Which server is used, and how to use another one.

The address is read from the environment, `REDIS_URL`, when it is first needed; Popoto's default,
redis://127.0.0.1:6379/0, is used where there is none. What it can be:

    redis://[[user]:password@]host[:port][/db]      TCP; the database as ?db=N, too
    rediss://...                                    the same over TLS
    unix:///path/to/socket[?db=N]                   a Unix socket
    embedded:  and  embedded:/folder                a private server of this user's
    redis+cluster://host:port,host:port             a cluster, for models with a TenantField
"""

from __future__ import annotations

import asyncio
import atexit
import os
import re
from typing import Any, List, Optional
from urllib.parse import parse_qsl, quote

from . import _core
from .exceptions import AddressError, OutageError, UnsupportedError

__all__ = [
    "OUTAGE_ERRORS",
    "async_check_connection",
    "check_connection",
    "get_REDIS_DB",
    "get_redis_url",
    "set_REDIS_DB_settings",
]

#: What says that the server cannot be reached, as opposed to a bad query.
OUTAGE_ERRORS = (OutageError,)

_IGNORED = {"socket_timeout", "socket_connect_timeout", "decode_responses", "encoding", "max_connections"}
_client: Any = None
_client_url: Optional[str] = None

atexit.register(_core.close)


def set_REDIS_DB_settings(
    env_partition_name: str = "", *args: Any, redis_url: Optional[str] = None, **options: Any
) -> None:
    """Use another server from now on, in every thread.

    Either a whole address, `redis_url`, or its parts as redis-py names them: host, port, db, username,
    password, ssl, unix_socket_path. `env_partition_name` is taken and does nothing, as in Popoto.
    """
    if args:
        raise UnsupportedError("set_REDIS_DB_settings takes its settings by name: host=, port=, db=")
    url = redis_url or options.pop("url", None)
    unknown = set(options) - _IGNORED - {"host", "port", "db", "username", "password", "ssl", "unix_socket_path"}
    if unknown:
        raise UnsupportedError(f"set_REDIS_DB_settings has no {', '.join(sorted(unknown))}; an address can say more")
    _core.configure(_normal(url) if isinstance(url, str) else _url_of(**options))


def _url_of(
    host: str = "localhost",
    port: int = 6379,
    db: int = 0,
    username: Optional[str] = None,
    password: Optional[str] = None,
    ssl: bool = False,
    unix_socket_path: Optional[str] = None,
    **ignored: Any,
) -> str:
    """The parts of an address as an address."""
    who = ""
    if username or password:
        who = f"{quote(username or '', safe='')}:{quote(password or '', safe='')}@"
    if unix_socket_path is not None:
        return f"unix://{who}{quote(unix_socket_path)}?db={db}"
    return f"{'rediss' if ssl else 'redis'}://{who}{host}:{port}/{db}"


def _normal(url: str) -> str:
    """The address as the library takes it: redis-py has the database as ?db=5, too, behind redis://host."""
    scheme, _, query = url.partition("?")
    if not scheme.startswith(("redis://", "rediss://")) or not query:
        return url
    options = parse_qsl(query, keep_blank_values=True)
    others = [name for name, _ in options if name != "db"]
    if others:
        raise AddressError(f"{_masked(url)}: an address has no {', '.join(others)}=; of redis-py's options, db= alone")
    head, slash, path = scheme.partition("://")[2].partition("/")
    if path.strip("/") and path.strip("/") != options[-1][1]:
        raise AddressError(f"{_masked(url)}: it names two databases, {path.strip('/')} and {options[-1][1]}")
    return f"{scheme.partition('://')[0]}://{head}/{options[-1][1]}"


def _masked(url: str) -> str:
    """The address without its password."""
    return re.sub(r"(?s)(://[^:@/]*:).*@", r"\1***@", url)


def _url_of_environment(default: str) -> str:
    """What the core asks for, at the first use."""
    url = os.environ.get("REDIS_URL") or default
    try:
        return _normal(url)
    except AddressError as problem:
        raise AddressError(f"{problem} (from REDIS_URL)") from None


def _about_address(reason: str) -> str:
    """A sentence of the library's about the address, with the address and where it is from."""
    url = _core.url()
    whence = " (from REDIS_URL)" if url == os.environ.get("REDIS_URL") else ""
    return f"{_masked(url)}{whence}: {reason}"


def get_redis_url() -> str:
    """The address that is used."""
    return _core.url()


def check_connection() -> bool:
    """Whether the server is there and lets us in."""
    try:
        return _core.ping()
    except Exception:
        return False


async def async_check_connection() -> bool:
    """The same, for coroutines."""
    return await asyncio.to_thread(check_connection)


def get_REDIS_DB() -> Any:
    """A redis-py client of the same server, for commands of your own. Needs the package `redis`."""
    global _client, _client_url
    url = _core.url()
    if _client is None or _client_url != url:
        try:
            import redis
        except ImportError:
            raise UnsupportedError(
                "a client for commands of your own is redis-py's, which libpopoto itself does not need: "
                "pip install redis"
            ) from None
        socket = _core.socket()
        if socket is None or url.startswith("unix:"):
            address = url if not url.startswith("unix:/") or url.startswith("unix://") else "unix://" + url[5:]
            client = redis.Redis.from_url(address)
        else:
            client = redis.Redis(unix_socket_path=socket)
        _client, _client_url = client, url
    return _client


def __getattr__(name: str) -> Any:
    if name == "POPOTO_REDIS_DB":
        return get_REDIS_DB()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
