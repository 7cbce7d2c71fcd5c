#!/usr/bin/env python3
"""Bits of the journal flip while the service is down: what is lost is noticed, and is catalogued when it is sent again."""
import random
import re
import shutil
import sqlite3

import support
import wire
from support import wait_for, write

TRIALS = 15
REQUESTS = 60
SERIES_PER_REQUEST = 20


def body(trial, number):
    return wire.snappy(b"".join(wire.series_v1(__name__="damage", trial=str(trial), number=str(number), part=str(part))
                                for part in range(SERIES_PER_REQUEST)))


def end_of(journal):
    """The last offset that SQLite finds in a copy of the journal; None if the file is damaged."""
    copy = journal.with_name("copy")
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir()
    for file in journal.parent.glob("journal.db*"):
        if not file.name.endswith("-shm"):
            shutil.copy(file, copy)
    database = sqlite3.connect(copy / "journal.db")
    try:
        if database.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
            return None
        return database.execute("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'batch'").fetchone()[0]
    except sqlite3.DatabaseError:
        return None
    finally:
        database.close()


def flip_bits(file, chance, count):
    content = bytearray(file.read_bytes())
    for _ in range(count):
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    file.write_bytes(content)


class JournalDamage(support.TestCase):
    def send(self, service, trial):
        for number in range(REQUESTS):
            self.assertEqual(write(service.url, body(trial, number))[0], 204)

    def hold_catalog(self, service):
        """Keeps the index from applying anything, so that the rows are only in the journal."""
        other = sqlite3.connect(service.directory / "data" / "catalog.db", isolation_level=None, timeout=20, check_same_thread=False)
        other.execute("BEGIN IMMEDIATE")
        self.addCleanup(other.close)
        return other

    def restart_and_send_again(self, service, trial, expect_end=False):
        """Returns the log of the start. With `expect_end`, the process may end itself once, and is started again."""
        name = service.directory.name
        service = self.service(name=name)
        log = service.output()
        for _ in range(2):
            try:
                self.send(service, trial)
                service.wait_until_indexed()
                found = {(d["number"], d["part"]) for d in map(dict, service.series(f'damage{{trial="{trial}"}}'))}
                if len(found) == REQUESTS * SERIES_PER_REQUEST:
                    break
            except (OSError, support.Gone, AssertionError):
                pass
            self.assertTrue(expect_end, log)
            self.assertEqual(wait_for(lambda: service.popen.poll(), what="the end of the process"), 1)
            log += service.output()
            service = self.service(name=name)
        self.assertEqual(len(found), REQUESTS * SERIES_PER_REQUEST, log)
        log += service.output()
        self.assertEqual(service.stop(), 0)
        return log

    def test_bit_flips_in_the_log_of_a_killed_process(self):
        noticed = 0
        for trial in range(TRIALS):
            with self.subTest(seed=trial):
                chance = random.Random(trial)
                service = self.service(name=f"trial-{trial}")
                other = self.hold_catalog(service) if trial % 2 else None
                self.send(service, trial)
                if other is None:
                    service.wait_until_indexed()
                service.kill()
                if other is not None:
                    other.close()
                journal = service.directory / "data" / "journal.db"
                before = end_of(journal)
                flip_bits(journal.with_name("journal.db-wal"), chance, chance.choice((1, 1, 20)))
                after = end_of(journal)
                log = self.restart_and_send_again(service, trial)
                if after is None or after < before:
                    noticed += 1
                    self.assertRegex(log, r"journal: .*damaged|ahead of .*journal\.db", f"{before} -> {after}")
        self.assertGreater(noticed, TRIALS // 2)

    def test_bit_flips_in_the_file_of_a_stopped_process(self):
        damaged = 0
        for trial in range(TRIALS):
            with self.subTest(seed=trial):
                chance = random.Random(trial)
                service = self.service(name=f"trial-{trial}")
                other = self.hold_catalog(service)
                self.send(service, trial)
                self.assertEqual(service.stop(), 0)
                other.close()
                flip_bits(service.directory / "data" / "journal.db", chance, chance.choice((1, 3, 20)))
                log = self.restart_and_send_again(service, trial, expect_end=True)
                damaged += bool(re.search(r"journal: damaged|rows were damaged", log))
        self.assertGreater(damaged, TRIALS // 2)


if __name__ == "__main__":
    support.main()
