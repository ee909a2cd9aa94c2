"""Return when nginx on this host serves the page of the site that is named."""

import http.client
import socket
import ssl
import sys
import time

NAME = sys.argv[1]
CONTEXT = ssl.create_default_context()
CONTEXT.check_hostname, CONTEXT.verify_mode = False, ssl.CERT_NONE


def status() -> int:
    """The status of the page, or 0 without a response."""
    connection = http.client.HTTPConnection(NAME)
    try:
        connection.sock = CONTEXT.wrap_socket(socket.create_connection(("127.0.0.1", 443), timeout=10), server_hostname=NAME)
        connection.request("GET", "/")
        return connection.getresponse().status
    except OSError:
        return 0
    finally:
        connection.close()


end = time.monotonic() + 60
while status() != 200:
    if time.monotonic() > end:
        sys.exit(f"{NAME} has no page after a minute")
    time.sleep(0.01)
