"""The paths of the probes, and the documents that answer them: also where the web server answers without Django."""

import json

LIVE_PATH, READY_PATH, HEALTH_PATH, METRICS_PATH = "/live", "/ready", "/health", "/metrics"
# A load balancer asks each process by its IP address, over http: no name in `Host` is refused for these paths, and none
# is redirected.
PROBE_PATHS = (LIVE_PATH, READY_PATH, HEALTH_PATH, METRICS_PATH)
# The reason of a web process that has got SIGTERM: it answers what has arrived, and accepts no more.
DRAINING = "draining"


def format_status(unready_reason: str = "") -> bytes:
    """Return the JSON document of a probe, with the word for why the process is not ready."""
    document = {"status": "unready", "reason": unready_reason} if unready_reason else {"status": "ok"}
    return json.dumps(document).encode()
