"""Serves the desk on a free loopback port and prints its origin.

    python -m desk.serve

One thread a request, static files included; ends when standard input ends, so
that it never outlives the test that started it.
"""

import os
import sys
import threading

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "desk.settings")

# pylint: disable=wrong-import-position
from django.contrib.staticfiles.handlers import StaticFilesHandler
from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler
from django.core.wsgi import get_wsgi_application


class StaticFiles(StaticFilesHandler):
    """Serves static files outside of debug mode as well."""

    def serve(self, request):
        """Answers with the file, found in the apps themselves."""
        from django.contrib.staticfiles.views import serve

        return serve(request, self.file_path(request.path), insecure=True)


def main() -> None:
    """Serves until standard input ends."""
    server = ThreadedWSGIServer(("127.0.0.1", 0), WSGIRequestHandler, ipv6=False)
    server.daemon_threads = True
    server.set_app(StaticFiles(get_wsgi_application()))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
    sys.stdin.read()
    server.shutdown()


if __name__ == "__main__":
    main()
