"""A stand-in for a service: answers on a port, and has a child in a session of its own, as real ones do.

Options: `stubborn` ignores SIGTERM, `broken` says why and ends at once.
"""

import http.server
import signal
import subprocess
import sys


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()


if "broken" in sys.argv:
    sys.exit("no such model: gpt-7")
if "stubborn" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
subprocess.Popen([sys.executable, "-I", "-S", "-c", "import time; time.sleep(600)"], start_new_session=True)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Answer).serve_forever()
