"""What every Python script here shares: arguments in, one JSON line per step out.

    python SCRIPT CDP_URL '{"site": "http://…", …}'
"""

import json
import struct
import sys


def command_line():
    """The CDP endpoint and the options of the command line."""
    if len(sys.argv) < 2:
        sys.exit("usage: python SCRIPT CDP_URL [OPTIONS_AS_JSON]")
    return sys.argv[1], json.loads(sys.argv[2]) if len(sys.argv) > 2 else {}


def step(name):
    """Does the function below it as one step; an error is an outcome, not an end."""

    def run(action):
        try:
            outcome = action()
        except Exception as error:
            _print({"name": name, "ok": False, "error": str(error)})
        else:
            _print({"name": name, "ok": True, "outcome": outcome})

    return run


def finish():
    """The script came to its end."""
    _print({"name": "finish", "ok": True, "outcome": None})


def describe_png(data):
    """Whether the bytes are a PNG, and how large the picture is."""
    if data[:8] != b"\x89PNG\r\n\x1a\n":
        return {"png": False}
    width, height = struct.unpack(">II", data[16:24])
    return {"png": True, "width": width, "height": height}


def _print(line):
    print(json.dumps(line), flush=True)
