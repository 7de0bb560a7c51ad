"""How the extension module popoto._core is built: the library's sources and the core's, in one file.

The system's own libraries are found with pkg-config, as CMakeLists.txt finds them; which are needed is
the same. pyproject.toml has everything else.
"""

import os
import re
import subprocess
import sys
from glob import glob

from setuptools import Extension, setup

TOP = os.path.dirname(os.path.abspath(__file__))


def version() -> str:
    """The version, of which include/popoto.h is the one place."""
    with open(os.path.join(TOP, "include", "popoto.h"), encoding="utf-8") as header:
        parts = dict(re.findall(r"define POPOTO_VERSION_(\w+) (\d+)", header.read()))
    return "{MAJOR}.{MINOR}.{PATCH}".format(**parts)


def pkg_config(*arguments: str) -> "list[str] | None":
    """What pkg-config answers, or None where it has no such package."""
    try:
        answer = subprocess.run(
            ["pkg-config", *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
    except FileNotFoundError:
        sys.exit("popoto: pkg-config is needed to find hiredis, msgpack and uuid (Debian: pkg-config)")
    return answer.stdout.split() if answer.returncode == 0 else None


def flags_of(names: "list[str]", wanted: str) -> "list[str]":
    """The flags of the first of these packages that is there."""
    for name in names:
        flags = pkg_config("--cflags", "--libs", name)
        if flags is not None:
            return flags
    sys.exit(f"popoto: {wanted} with its headers is needed, and pkg-config does not find it")


flags = [
    *flags_of(["hiredis >= 0.14"], "hiredis 0.14 or later (Debian: libhiredis-dev)"),
    *flags_of(["msgpack-c", "msgpackc", "msgpack"], "msgpack-c (Debian: libmsgpack-dev)"),
    *flags_of(["uuid"], "libuuid (Debian: uuid-dev)"),
]
macros = ["-D_POSIX_C_SOURCE=200809L", "-D_DEFAULT_SOURCE"]
# As in CMakeLists.txt: TLS, where the system has what it needs. JSON is for the import and export of records,
# which Python does not offer.
more = pkg_config("--cflags", "--libs", "hiredis_ssl", "openssl")
if more is not None:
    flags += more
    macros.append("-DPOPOTO_WITH_TLS")

# One file for every CPython from 3.9 on, that shows nothing but its module's entry.
exports = os.path.join("python", "_core", "exports.map")
links = [] if sys.platform == "darwin" else ["-Wl,--version-script=" + exports]

os.chdir(TOP)
setup(
    version=version(),
    ext_modules=[
        Extension(
            "popoto._core",
            sources=sorted(glob("python/_core/*.c") + glob("src/*.c")),
            depends=sorted(glob("python/_core/*.h") + glob("src/*.h") + glob("include/*.h") + [exports]),
            include_dirs=["include", "src"],
            extra_compile_args=[
                "-std=c11",
                "-fvisibility=hidden",
                "-Werror=implicit-function-declaration",
                *os.environ.get("POPOTO_CFLAGS", "-Wall -Wextra").split(),
                *macros,
                *[flag for flag in flags if not flag.startswith(("-l", "-L", "-Wl"))],
            ],
            extra_link_args=[*[flag for flag in flags if flag.startswith(("-l", "-L", "-Wl"))], "-lm", *links],
            define_macros=[("Py_LIMITED_API", "0x03090000")],
            py_limited_api=True,
        )
    ],
    options={"bdist_wheel": {"py_limited_api": "cp39"}},
)
