"""A worker for beanstalkd: `python -m benchmarks.peers.beanstalk_worker PORT`.

The result goes into the tube `results`, where a client finds it: beanstalkd itself has no place for results.
"""

from __future__ import annotations

import json
import sys

import greenstalk


def main() -> None:
    """Run jobs until told to end."""
    with greenstalk.Client(("127.0.0.1", int(sys.argv[1])), use="results", watch="jobs") as client:
        while True:
            job = client.reserve()
            client.put(json.dumps({"id": job.id, "result": job.body[::-1]}))
            client.delete(job)


if __name__ == "__main__":
    main()
