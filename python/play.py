"""`./run python`: plays the specification, block by block, on the package that it was just built into.

Every block of Python on the page (tests/python/specification.txt), in order and unchanged, in one namespace,
against servers of its own. What a block prints stands beside what its comments say. How the blocks are found,
what they need and what is looked at afterwards is tests/python/specification.py, which ./run test runs, too.
"""

import contextlib
import io
import os
import shutil
import sys

# In the place of this directory, whose popoto has no extension module: the installed one is meant.
sys.path[0] = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tests", "python")

from specification import Play, blocks, claims  # noqa: E402
from support import Server  # noqa: E402


def painter():
    """What makes text bold, dim or green, on a terminal that has colours."""
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return {name: lambda text: text for name in ("bold", "dim", "good", "bad")}
    codes = {"bold": "1", "dim": "2", "good": "32", "bad": "31"}
    return {name: lambda text, code=code: f"\033[{code}m{text}\033[0m" for name, code in codes.items()}


class Show(Play):
    """The play, for people to watch."""

    def show(self, number, block):
        """Play one block; whether it printed what the page says."""
        paint = painter()
        for i, line in enumerate(block.splitlines()):
            print(paint["bold" if i == 0 else "dim"](f"{number if i == 0 else '':>3}  {line}".rstrip()))
        if "tenant-a-host" in block:
            block = block.replace("redis://tenant-a-host:6379/0", self.other_url)
        getattr(self, f"before_{number}", lambda: None)()
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(block, f"<block {number} of the specification>", "exec"), self.names)
        printed, said = printed.getvalue().splitlines(), claims(block)
        for i in range(max(len(printed), len(said))):
            got = printed[i] if i < len(printed) else "(nothing)"
            same = i < len(said) and got == said[i]
            print(paint["good" if same else "bad"](f"     {'=' if same else '!'} {got}"))
            if not same:
                print(paint["bad"](f"       the page says {said[i] if i < len(said) else '(nothing)'}"))
        getattr(self, f"after_{number}", lambda: None)()
        print(paint["good"]("     checked") if printed == said else paint["bad"]("     not what the page says"))
        print()
        return printed == said


def main():
    import popoto
    from popoto.redis_db import set_REDIS_DB_settings

    if shutil.which("redis-server") is None and shutil.which("valkey-server") is None:
        sys.exit("a server is needed to play against: redis-server or valkey-server")
    server, other = Server(), Server()
    failed = []
    try:
        set_REDIS_DB_settings(redis_url=server.url())
        print(f"The specification, on popoto {popoto.__version__} (libpopoto), Python {sys.version.split()[0]}.")
        print("Lines with = were printed, and are what the page says.\n")
        show = Show(server.client(), other.url())
        page = blocks()
        for number, block in enumerate(page, 1):
            if not show.show(number, block):
                failed.append(number)
        print(f"{len(page) - len(failed)} of {len(page)} blocks did what they say")
    finally:
        server.stop()
        other.stop()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
