#!/usr/bin/env python3
"""Damaged, replaced and restored catalogues: no wrong answer, no silent loss, and what is lost returns when it is sent again."""
import contextlib
import fcntl
import random
import shutil
import sqlite3
import subprocess
import threading

import support
import wire
from support import BINARY, request, wait_for, write

SERIES = 4_000
TRIALS = 30


def labels(number):
    """A content of about 300 bytes."""
    return {"__name__": f"http_requests_{number % 40}_total", "env": f"env-{number % 3}", "service": f"service-{number % 7}",
            "pod": f"checkout-{number // 40}-{number * 7919 % 65537:05x}", "path": f"/api/v1/things/{number % 50}/" + "x" * 150,
            "instance": f"10.0.{number // 250 % 250}.{number % 250}:9100"}


def truth(numbers):
    return {tuple(sorted(labels(number).items())) for number in numbers}


def send(service, numbers):
    """Every second thousand belongs to a tenant. Every request must be acknowledged."""
    for thousand in sorted({number // 1000 for number in numbers}):
        body = wire.snappy(b"".join(wire.series_v1(**labels(number)) for number in numbers if number // 1000 == thousand))
        status, _, answer = write(service.url, body, {"X-Scope-OrgID": "acme"} if thousand % 2 else {})
        if status not in (200, 204):
            raise AssertionError(f"{status}: {answer!r}")


def command(*arguments, data, timeout=120):
    return subprocess.run([str(BINARY), *map(str, arguments), "--data", str(data)], capture_output=True, text=True, timeout=timeout,
                          check=False, env={"PATH": "/usr/bin:/bin"})


def answers(service):
    return service.series('{__name__=~".+"}')


def rows(data):
    with sqlite3.connect(f"file:{data}/catalog.db?mode=ro", uri=True, timeout=10) as database:
        return database.execute("SELECT count(*), count(DISTINCT fingerprint), count(DISTINCT metric) FROM metric").fetchone()


class Damage(support.TestCase):
    def run_ok(self, *arguments, data):
        done = command(*arguments, data=data)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def run_refused(self, code, words, *arguments, data):
        done = command(*arguments, data=data)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        self.assertIn(words, done.stdout + done.stderr)


class OtherPrograms(Damage):
    def test_the_database_of_another_program_is_refused_with_exit_code_2_and_left_as_it_is(self):
        data = self.directory / "data"
        data.mkdir()
        catalog = data / "catalog.db"
        with contextlib.closing(sqlite3.connect(catalog)) as database:
            database.execute("CREATE TABLE theirs (x)")
        before = catalog.read_bytes()
        for arguments in (("serve", "--listen", "127.0.0.1:0"), ("check",), ("repair",), ("backup", self.directory / "to.db")):
            with self.subTest(arguments[0]):
                self.run_refused(2, "another program (it has a table theirs)", *arguments, data=data)
                self.assertEqual(catalog.read_bytes(), before)
                self.assertEqual([file.name for file in data.glob("catalog.db*")], ["catalog.db"])


class BackupAndRestore(Damage):
    def test_a_second_backup_to_the_same_file_is_refused_while_the_first_one_runs(self):
        service = self.service()
        send(service, range(0, 10))
        service.wait_until_indexed()
        data, backup = service.directory / "data", self.directory / "backup.db"
        with open(f"{backup}.lock", "w", encoding="ascii") as held:  # as the first one holds it
            fcntl.flock(held, fcntl.LOCK_EX)
            self.run_refused(1, f"another `metric-index backup` writes to {backup}", "backup", backup, data=data)
            self.assertFalse(backup.exists())
        self.run_ok("backup", backup, data=data)
        self.assertEqual(sorted(file.name for file in self.directory.glob("backup.db*")), ["backup.db"])

    def test_a_restore_after_kill_9_gives_the_backup_and_the_journal_and_then_everything(self):
        for trial in range(6):
            service = self.service(name=f"trial-{trial}")
            data, backup = service.directory / "data", self.directory / f"backup-{trial}.db"
            send(service, range(0, 2_000))
            service.wait_until_indexed()
            self.assertIn("2000 series, verified", self.run_ok("backup", backup, data=data))
            self.assertEqual(backup.stat().st_mode & 0o777, 0o600)
            send(service, range(2_000, 2_000 + 300 * trial))
            service.wait_until_indexed()
            service.kill()
            self.assertTrue((data / "catalog.db-wal").exists())

            self.assertIn("2000 series are restored", self.run_ok("restore", backup, data=data))
            self.assertIn("2000 series, no fault", self.run_ok("check", data=data))
            service = self.service(name=f"trial-{trial}")
            service.wait_until_indexed()
            found = answers(service)
            self.assertTrue(truth(range(0, 2_000)) <= found <= truth(range(0, 2_000 + 300 * trial)), trial)
            send(service, range(0, 2_000 + 300 * trial))
            service.wait_until_indexed()
            self.assertEqual(answers(service), truth(range(0, 2_000 + 300 * trial)))
            service.stop()
            total, fingerprints, _ = rows(data)
            self.assertEqual(total, fingerprints)

    def test_a_backup_under_load_is_whole_and_a_new_machine_can_take_it(self):
        service = self.service()
        acknowledged = self.directory / "acknowledged"
        sender = threading.Thread(target=support.loadgen, args=(
            "--url", f"{service.url}/api/v1/write", "--series", 20_000, "--churn", 20_000, "--duration", "3s",
            "--batch", 500, "--connections", 3, "--acknowledged", acknowledged))
        sender.start()
        wait_for(lambda: service.metric("index_series_total", result="inserted") > 2_000, what="load")
        backups = 0
        while sender.is_alive():
            self.run_ok("backup", self.directory / "backup.db", data=service.directory / "data")
            backups += 1
        sender.join()
        self.assertGreater(backups, 0)
        service.wait_until_indexed()
        self.run_ok("backup", self.directory / "backup.db", data=service.directory / "data")
        self.assertEqual(sorted(p.name for p in self.directory.glob("backup*")), ["backup.db"])
        self.run_ok("check", self.directory / "backup.db", data=self.directory / "nothing")

        other = self.service(name="other")  # a fresh installation, started once
        other.stop()
        self.run_ok("restore", self.directory / "backup.db", data=other.directory / "data")
        other = self.service(name="other")
        verified = support.loadgen("verify", "--url", other.url, "--acknowledged", acknowledged)
        self.assertEqual(verified.returncode, 0, verified.stdout + verified.stderr)

    def test_a_restore_is_refused_with_the_reason(self):
        service = self.service()
        data, backup = service.directory / "data", self.directory / "backup.db"
        send(service, range(0, 1_000))
        service.wait_until_indexed()
        self.run_ok("backup", backup, data=data)
        for name in ("catalog.db", "journal.db-wal", "LOCK", "a-new-name.db"):
            self.run_refused(2, "is in a data directory", "backup", data / name, data=data)
        self.run_refused(1, "is in use by process", "restore", backup, data=data)
        self.run_refused(1, "is in use by process", "repair", data=data)
        service.stop()
        self.run_refused(2, "is the catalogue itself", "restore", data / "catalog.db", data=data)
        self.run_refused(1, "", "restore", self.directory / "missing.db", data=data)
        with open(backup, "r+b") as file:
            content = bytearray(file.read())
            at = content.index(b'pod="checkout-3-') + 7
            content[at] ^= 1
            file.seek(0)
            file.write(content)
        self.run_refused(1, "nothing was changed, the backup is damaged", "restore", backup, data=data)
        self.run_refused(1, "do not have its fingerprint", "check", backup, data=data)
        self.run_refused(2, "mysqldump", "backup", backup, "--role", "query", data=data)
        self.assertIn("1000 series, no fault", self.run_ok("check", data=data))

    def test_a_restore_that_was_interrupted_between_any_two_steps_is_completed(self):
        service = self.service(name="first")
        data, backup = service.directory / "data", self.directory / "backup.db"
        send(service, range(0, 500))
        service.wait_until_indexed()
        self.run_ok("backup", backup, data=data)
        send(service, range(500, 1_500))
        service.wait_until_indexed()
        service.kill()
        before = self.directory / "before"
        shutil.copytree(data, before)
        steps = ["seen.snapshot", "catalog.db-wal", "catalog.db-shm"]
        for done in range(len(steps) + 1):
            # The state after the backup was copied to catalog.db.incoming and some files are gone.
            service = self.directory / f"interrupted-{done}" / "data"
            shutil.copytree(before, service)
            shutil.copy(backup, service / "catalog.db.incoming")
            for name in steps[:done]:
                (service / name).unlink(missing_ok=True)
            restored = self.service(name=f"interrupted-{done}")
            self.assertIn("was interrupted", restored.output())
            restored.wait_until_indexed()
            self.assertTrue(truth(range(0, 500)) <= answers(restored))
            send(restored, range(0, 1_500))
            restored.wait_until_indexed()
            self.assertEqual(answers(restored), truth(range(0, 1_500)))
            restored.stop()
            self.assertIn("1500 series, no fault", self.run_ok("check", data=service))
        # An unfinished copy means nothing.
        service = self.directory / "unfinished" / "data"
        shutil.copytree(before, service)
        (service / "catalog.db.incoming.tmp").write_bytes(backup.read_bytes()[:10_000])
        self.assertEqual(answers(self.service(name="unfinished")), truth(range(0, 1_500)))


class BitFlips(Damage):
    def base(self):
        """The data directory of a service that was stopped, with SERIES series."""
        service = self.service(name="base")
        send(service, range(SERIES))
        service.wait_until_indexed()
        self.assertEqual(answers(service), truth(range(SERIES)))
        self.assertEqual(service.stop(), 0)
        return service.directory / "data"

    def flip(self, chance, file, count):
        content = bytearray(file.read_bytes())
        for _ in range(count):
            content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        file.write_bytes(content)

    def start_or_repair(self, name, repairs):
        """A service that is ready. If it ends instead, it must say what to do, and that must help."""
        for _ in range(3):
            service = self.service(name=name, wait=False)
            try:
                wait_for(lambda: self.alive(service) and request(f"{service.url}/ready")[0] == 200, 30, "/ready")
                return service
            except support.Gone:
                self.repair(service, repairs)
        raise AssertionError(f"{name}: a repair does not help")

    def repair(self, service, repairs):
        self.assertEqual(service.popen.wait(30), 1, service.output()[-1000:])
        self.assertIn("`metric-index repair`", service.output())
        repairs.append(self.run_ok("repair", data=service.directory / "data"))

    def send_all(self, name, service, repairs):
        """Sends everything until a service has indexed it. It may find further damage while it writes."""
        for _ in range(3):
            try:
                send(service, range(SERIES))
                wait_for(lambda: self.alive(service) and service.metric("index_lag_records") == 0, what="the index")
                return service
            except (support.Gone, OSError):
                self.repair(service, repairs)
                service = self.start_or_repair(name, repairs)
        raise AssertionError(f"{name}: damage without an end")

    def alive(self, service):
        if not service.alive():
            raise support.Gone("it ended")
        return True

    def test_no_bit_flip_gives_a_wrong_answer_or_a_lasting_loss(self):
        base = self.base()
        expected = truth(range(SERIES))
        seen = {"repaired": 0, "healed": 0, "nothing": 0}
        for trial in range(TRIALS):
            chance = random.Random(trial)
            name, repairs = f"trial-{trial}", []
            data = self.directory / name / "data"
            shutil.copytree(base, data)
            self.flip(chance, data / "catalog.db", 1 << chance.randrange(8))
            service = self.start_or_repair(name, repairs)
            first = answers(service)
            self.assertTrue(first <= expected, f"{name}: wrong: {list(first - expected)[:3]}")
            damaged = service.metric("catalog_damaged_rows")
            if not repairs:
                self.assertEqual(len(first), SERIES - damaged, f"{name}: lost without a word")
            _, _, ready = request(f"{service.url}/ready")
            self.assertEqual(b"rows of the store are damaged" in ready, damaged > 0, ready)
            service = self.send_all(name, service, repairs)
            self.assertEqual(answers(service), expected, name)
            self.assertEqual(service.metric("catalog_damaged_rows"), 0, name)
            service.kill()
            seen["repaired" if repairs else "healed" if damaged else "nothing"] += 1
            shutil.rmtree(self.directory / name)
        print(f"{TRIALS} trials: {seen}")

    def test_a_repair_keeps_what_is_intact_and_says_what_is_lost(self):
        data = self.base()
        content = bytearray((data / "catalog.db").read_bytes())
        at = content.index(b'pod="checkout-7-') + 5
        content[at + 3] ^= 4  # one series
        pages = len(content) // 4096
        content[4096 * (pages // 2):4096 * (pages // 2 + 3)] = b"\xa5" * (3 * 4096)
        (data / "catalog.db").write_bytes(content)
        checked = command("check", data=data)
        self.assertEqual(checked.returncode, 1)
        self.assertIn("faults in", checked.stdout)
        said = self.run_ok("repair", data=data)
        self.assertRegex(said, r"\d+ series are kept of 4000")
        kept = int(said.split()[0])
        self.assertGreater(kept, SERIES * 9 // 10)
        self.assertLess(kept, SERIES)
        self.assertIn(f"{kept} series, no fault", self.run_ok("check", data=data))
        self.assertEqual(len(list(data.glob("catalog.db.damaged-*"))), 1)
        self.assertIn("nothing to repair", self.run_ok("repair", data=data))
        service = self.service(name="base")
        self.assertTrue(answers(service) <= truth(range(SERIES)))
        send(service, range(SERIES))
        service.wait_until_indexed()
        self.assertEqual(answers(service), truth(range(SERIES)))

    def test_a_repair_that_could_keep_nothing_changes_nothing(self):
        data = self.base()
        with contextlib.closing(sqlite3.connect(data / "catalog.db")) as database, database:
            database.execute("UPDATE metric SET fingerprint = randomblob(length(fingerprint))")
        self.run_refused(1, "nothing was changed", "repair", data=data)
        self.assertEqual(rows(data)[0], SERIES)
        self.assertEqual([file.name for file in data.glob("catalog.db.*")], [])

    def test_a_file_that_is_no_database_ends_the_process_and_a_repair_begins_anew(self):
        data = self.base()
        size = (data / "catalog.db").stat().st_size
        (data / "catalog.db").write_bytes(b"\x5a" * size)
        service = self.service(name="base", wait=False)
        self.assertEqual(service.popen.wait(30), 1)
        self.assertIn("`metric-index repair`", service.output())
        self.run_ok("repair", data=data)
        service = self.service(name="base")
        send(service, range(SERIES))
        service.wait_until_indexed()
        self.assertEqual(answers(service), truth(range(SERIES)))


if __name__ == "__main__":
    support.main()
