#!/usr/bin/env python3
"""Files of the data directory are deleted under load: nothing is acknowledged that is lost, and a restart repairs the rest."""
import threading
import urllib.error

import support
import wire
from support import wait_for, write

FILES = ("catalog.db", "catalog.db-wal", "catalog.db-shm", "journal.db", "journal.db-wal", "journal.db-shm", "")


class Sender:
    """Sends one new series per request, and remembers which ones were acknowledged, until the service does not answer."""

    def __init__(self, url):
        self.url, self.acknowledged, self.statuses = url, [], []

    def body(self, number):
        return wire.snappy(wire.series_v1(__name__="deleted_files", number=str(number)))

    def send_one(self):
        """Returns the status, or None if the service is gone."""
        number = len(self.statuses)
        try:
            status, _, _ = write(self.url, self.body(number))
        except (OSError, urllib.error.URLError):
            return None
        self.statuses.append(status)
        if status == 204:
            self.acknowledged.append(number)
        return status


class DeletedFiles(support.TestCase):
    def check(self, name):
        service = self.service(name=f"of-{name or 'folder'}")
        port = int(service.url.rsplit(":", 1)[1])
        sender = Sender(service.url)
        load = threading.Thread(target=support.loadgen, args=(
            "--url", f"{service.url}/api/v1/write", "--series", 20_000, "--churn", 20_000, "--duration", "5s", "--batch", 500,
            "--connections", 3, "--acknowledged", service.directory / "acknowledged"))
        load.start()
        wait_for(lambda: service.metric("receive_series_total", result="new") > 20_000, what="load")
        while len(sender.acknowledged) < 50:
            self.assertEqual(sender.send_one(), 204)

        gone = service.directory / "data" / name
        if name:
            gone.unlink()
        else:
            gone.rename(service.directory / "moved")
        before = len(sender.acknowledged)
        while (status := sender.send_one()) is not None:
            self.assertEqual(status, 503, f"after the deletion of {name}")
        self.assertEqual(len(sender.acknowledged), before)
        self.assertEqual(service.popen.wait(20), 1)
        fatal = [line for line in service.output().splitlines() if "fatal" in line]
        self.assertEqual(len(fatal), 1, fatal)
        self.assertIn("was deleted or", fatal[0])
        load.join()

        service = self.service(name=f"of-{name or 'folder'}", port=port)
        for number in sender.acknowledged:
            self.assertEqual(write(service.url, sender.body(number))[0], 204)
        service.wait_until_indexed()
        found = {int(dict(labels)["number"]) for labels in service.series("deleted_files")}
        self.assertEqual(set(sender.acknowledged) - found, set())
        self.assertEqual(service.stop(), 0)

    def test_no_write_is_acknowledged_after_a_file_was_deleted_and_what_was_is_catalogued_when_it_is_sent_again(self):
        for name in FILES:
            with self.subTest(name or "the folder"):
                self.check(name)

    def test_known_series_are_not_acknowledged_for_long(self):
        service = self.service()
        body = wire.snappy(wire.series_v1(__name__="known"))
        self.assertEqual(write(service.url, body)[0], 204)
        (service.directory / "data" / "catalog.db").unlink()
        self.assertEqual(wait_for(service.popen.poll, what="the end of the process"), 1)
        self.assertIn("catalog.db was deleted", service.output())


if __name__ == "__main__":
    support.main()
