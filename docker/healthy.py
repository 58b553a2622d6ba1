#!/usr/bin/python3
"""Status 0 if the daemon in this container is at work. A node that is down is no reason to restart the daemon."""

import http.client
import os
import sys

address = os.environ["FEDSM_HTTP"]
connection = http.client.HTTPConnection(address, timeout=5)
try:
    connection.request("GET", "/live")
    status = connection.getresponse().status
except (OSError, http.client.HTTPException) as error:
    sys.exit(f"no answer from {address}: {error}")
if status != http.client.OK:
    sys.exit(f"{address} answers {status}")
