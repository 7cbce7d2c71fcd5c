#!/usr/bin/env python3
"""Two series with one fingerprint: with a secret nobody can make them; without one, what happens is logged and counted."""
import json
import sqlite3

import support
import wire
from support import write

COLLISION = json.loads((support.ROOT / "tests" / "data" / "collision.json").read_text())
VERSION_1 = support.ROOT / "tests" / "data" / "catalog-version-1-sqlite.sql"
ONE, OTHER = COLLISION["a"], COLLISION["b"]


class Identity(support.TestCase):
    def service(self):
        return self.start(support.MetricIndex(self.directory))

    def database(self):
        return sqlite3.connect(self.directory / "data" / "catalog.db", timeout=10)

    def secret(self):
        return self.database().execute("SELECT identity_secret FROM schema_version").fetchone()[0]

    @staticmethod
    def catalogued(service):
        return {dict(series)["pad"] for series in service.series("coll")}

    def test_two_series_that_were_made_to_collide_are_both_catalogued(self):
        service = self.service()
        for labels in (ONE, OTHER):
            self.assertEqual(write(service.url, wire.snappy(wire.series_v1(**labels)))[0], 204)
        support.wait_for(lambda: len(self.catalogued(service)) == 2, what="both series")
        self.assertNotIn("identity:", service.output())

    def test_a_restart_keeps_the_secret_and_a_new_catalogue_beside_the_journal_takes_it(self):
        service = self.service()
        secret = self.secret()
        self.assertRegex(secret, "^[0-9a-f]{32}$")
        self.assertEqual(service.stop(), 0)
        service = self.service()
        self.assertEqual(self.secret(), secret)
        self.assertEqual(service.stop(), 0)
        for file in (self.directory / "data").glob("catalog.db*"):
            file.unlink()
        service = self.service()
        self.assertEqual(self.secret(), secret)
        self.assertNotIn(secret, service.output())

    def test_a_catalogue_that_keeps_its_secret_does_not_need_the_journal_to_keep_it(self):
        service = self.service()
        secret = self.secret()
        self.assertEqual(service.stop(), 0)
        with sqlite3.connect(self.directory / "data" / "journal.db") as journal:  # as a kill during the first start leaves it
            journal.execute("DELETE FROM meta WHERE key = 'identity_secret'")
        service = self.service()
        self.assertEqual(self.secret(), secret)

    def test_a_catalogue_without_a_secret_warns_and_reports_series_that_collide(self):
        (self.directory / "data").mkdir()
        with self.database() as database:
            database.executescript(VERSION_1.read_text())
        service = self.service()
        self.assertEqual(self.secret(), "")
        self.assertIn("identity: the catalogue was made without a secret", service.output())
        both = wire.series_v1(**ONE) + wire.series_v1(**OTHER)
        self.assertEqual(write(service.url, wire.snappy(both))[0], 204)
        support.wait_for(lambda: service.metric("index_dead_letters_total", reason="collision") == 1, what="the collision to be counted")
        self.assertIn("two series with one fingerprint", service.output())
        self.assertEqual(len(self.catalogued(service)), 1)
        self.assertEqual(len(service.series("up")), 1)


if __name__ == "__main__":
    support.main()
