#!/usr/bin/env python3
"""kill -9 at random moments under load, many times: every acknowledged series is catalogued, and no row exists twice."""
import random
import shutil
import sqlite3
import threading
import time

import support
from support import get_json, wait_for

ROUNDS = 20


def rows(service):
    """(rows, distinct fingerprints, distinct identities) of the catalogue, read with SQL from outside."""
    with sqlite3.connect(f"file:{service.directory}/data/catalog.db?mode=ro", uri=True, timeout=10) as database:
        return database.execute("SELECT count(*), count(DISTINCT fingerprint), count(DISTINCT metric) FROM metric").fetchone()


class Kill(support.TestCase):
    def verify(self, service, acknowledged):
        verified = support.loadgen("verify", "--url", service.url, "--acknowledged", acknowledged)
        self.assertEqual(verified.returncode, 0, verified.stdout + verified.stderr)

    def test_everything_acknowledged_survives_kill_9_at_random_under_load(self):
        seed = random.randrange(1 << 30)
        print(f"seed {seed}")
        chance = random.Random(seed)
        service = self.service()
        port = int(service.url.rsplit(":", 1)[1])
        acknowledged = []
        for turn in range(ROUNDS):
            acknowledged.append(self.directory / f"acknowledged-{turn}")
            sender = threading.Thread(target=support.loadgen, args=(
                "--url", f"{service.url}/api/v1/write", "--series", 20_000, "--churn", 20_000, "--duration", "2s",
                "--batch", 500, "--connections", 3, "--seed", seed + turn, "--acknowledged", acknowledged[-1]))
            before = service.metric("receive_series_total", result="new")
            sender.start()
            wait_for(lambda: service.metric("receive_series_total", result="new") > before, what="load")
            time.sleep(chance.uniform(0, 1.0))  # not a wait for a condition: the moment of the kill is random
            service.kill()
            service = self.service(port=port)
            sender.join()
            self.verify(service, acknowledged[-1])
        for file in acknowledged:
            self.verify(service, file)
        total, fingerprints, identities = rows(service)
        self.assertEqual((total, total), (fingerprints, identities))
        print(f"{ROUNDS} kills, {total} series, no row twice")

    def test_an_older_copy_of_the_catalogue_is_caught_up_or_reported(self):
        service = self.service()
        port = int(service.url.rsplit(":", 1)[1])

        def send(seed):
            file = self.directory / f"acknowledged-{seed}"
            sent = support.loadgen("--url", f"{service.url}/api/v1/write", "--series", 5_000, "--duration", "1s",
                                   "--seed", seed, "--acknowledged", file)
            self.assertEqual(sent.returncode, 0, sent.stderr)
            return file

        first = send(1)
        service.wait_until_indexed()
        service.stop()
        data = service.directory / "data"
        shutil.copy(data / "catalog.db", self.directory / "backup.db")
        service = self.service(port=port)
        second = send(2)
        service.wait_until_indexed()
        service.stop()
        for leftover in data.glob("catalog.db*"):
            leftover.unlink()
        shutil.copy(self.directory / "backup.db", data / "catalog.db")

        service = self.service(port=port)
        self.verify(service, first)
        log = service.output()
        self.assertIn("the snapshot of known series is discarded", log)
        reported = "older" in log
        known = len(get_json(f"{service.url}/api/v1/series", **{"match[]": '{__name__=~".+"}'})["data"])
        self.assertTrue(reported or known >= 10_000, "neither caught up nor reported")
        # Senders repeat their series: a series that is missing in the backup is new again, and is catalogued again.
        again = send(2)
        self.verify(service, again)
        self.verify(service, second)
        total, fingerprints, _ = rows(service)
        self.assertEqual(total, fingerprints)


if __name__ == "__main__":
    support.main()
