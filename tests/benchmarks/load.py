"""Constant load on one HTTP route: so many clients, each with a connection of its own, one request after the other.

A process of its own, so that its work is the same whoever is measured: ``python -m tests.benchmarks.load URL CLIENTS SECONDS FOLDER``
posts the folder's JPEG files in turn and prints one line of JSON. With FORM as a fifth word they are sent in forms, as LitServe wants
them.
"""

import http.client
import json
import statistics
import subprocess
import sys
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

_BOUNDARY = "---------------------------boundary"


@dataclass(frozen=True)
class Load:
    """What was seen; latencies in milliseconds."""

    per_s: float
    p50_ms: float
    p99_ms: float
    failed: int
    requests: int


class Clients:
    """Clients that begin and end together.

    Invariant: a request counts if it began after the warm-up and ended before the end.
    """

    def __init__(self, url: str, bodies: list[bytes], media_type: str, *, warm_up_s: float, seconds: float) -> None:
        parts = urlsplit(url)
        self._address = (str(parts.hostname), int(parts.port or 80))
        self._path = f"{parts.path}?{parts.query}" if parts.query else parts.path
        self._bodies = bodies
        self._headers = {"Content-Type": media_type}
        self._from = time.perf_counter() + warm_up_s
        self._until = self._from + seconds
        self._seconds = seconds
        self._lock = threading.Lock()
        self.latencies: list[float] = []
        self.failed = 0

    def run(self, count: int) -> Load:
        """Let so many clients work, and sum up."""
        threads = [threading.Thread(target=self._work, args=(number,)) for number in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        times = sorted(self.latencies)
        p99 = times[min(len(times) - 1, int(len(times) * 0.99))] if times else float("nan")
        p50 = statistics.median(times) if times else float("nan")
        return Load(len(times) / self._seconds, p50 * 1e3, p99 * 1e3, self.failed, len(times))

    def _work(self, number: int) -> None:
        connection = http.client.HTTPConnection(*self._address, timeout=120)
        turn = number
        while (began := time.perf_counter()) < self._until:
            is_good = self._ask(connection, self._bodies[turn % len(self._bodies)])
            turn += 1
            ended = time.perf_counter()
            if self._from <= began and ended <= self._until:
                self._note(ended - began, is_good=is_good)

    def _ask(self, connection: http.client.HTTPConnection, body: bytes) -> bool:
        try:
            connection.request("POST", self._path, body, self._headers)
            answer = connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException):
            connection.close()
            return False
        return answer.status == http.client.OK

    def _note(self, latency_s: float, *, is_good: bool) -> None:
        with self._lock:
            self.failed += not is_good
            if is_good:
                self.latencies.append(latency_s)


def measure(url: str, clients: int, seconds: float, pictures: Path, *, as_form: bool = False) -> Load:
    """Run the load in a process of its own."""
    command = [sys.executable, "-m", __name__, url, str(clients), str(seconds), str(pictures), *(["FORM"] if as_form else [])]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return Load(**json.loads(done.stdout))


def in_form(body: bytes) -> bytes:
    """Put a file into a form as its one field."""
    head = f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'
    return head.encode() + body + f"\r\n--{_BOUNDARY}--\r\n".encode()


def main() -> None:
    url, clients, seconds, folder, *form = sys.argv[1:]
    bodies = [path.read_bytes() for path in sorted(Path(folder).glob("*.jpg"))]
    media_type = "image/jpeg"
    if form:
        bodies, media_type = [in_form(body) for body in bodies], f"multipart/form-data; boundary={_BOUNDARY}"
    print(json.dumps(asdict(Clients(url, bodies, media_type, warm_up_s=2.0, seconds=float(seconds)).run(int(clients)))))


if __name__ == "__main__":
    main()
