#!/usr/bin/env python3
"""Start and stop of the process: exit codes, messages that say what to do, and a stop under load that loses nothing."""
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import threading

import support
from support import BINARY, wait_for


def run(*arguments, env=None, timeout=30, cwd=None):
    return subprocess.run([str(BINARY), *map(str, arguments)], capture_output=True, text=True, timeout=timeout, check=False, cwd=cwd,
                          env={**os.environ, **(env or {})})


class CommandLine(support.TestCase):
    def test_version_and_help_are_for_people(self):
        version = run("--version")
        self.assertEqual((version.returncode, version.stderr), (0, ""))
        self.assertRegex(version.stdout, r"^metric-index \d+\.\d+\.\d+ \(revision \w+, GNU")
        text = run("--help")
        self.assertEqual(text.returncode, 0)
        for word in ("serve", "config", "--config", "--role", "--listen", "--data", "METRIC_INDEX_"):
            self.assertIn(word, text.stdout)

    def test_a_wrong_command_line_ends_with_2(self):
        for arguments in (["--no-such-option"], ["no-such-command"], ["config"], ["config", "check"]):
            with self.subTest(arguments):
                self.assertEqual(run(*arguments).returncode, 2)

    def test_the_default_configuration_checks_and_shows(self):
        default = run("config", "default")
        self.assertEqual(default.returncode, 0)
        file = self.directory / "default.yml"
        file.write_text(default.stdout)
        checked = run("config", "check", file)
        self.assertEqual((checked.returncode, checked.stdout), (0, f"{file}: ok\n"))

    def test_the_reference_configuration_of_the_service_before_loads_as_it_stands(self):
        file = support.ROOT / "tests" / "data" / "reference-config.yml"
        self.assertEqual(run("config", "check", file).returncode, 0)
        shown = run("--config", file, "config", "show")
        self.assertEqual(shown.returncode, 0)
        self.assertNotIn("mypassword", shown.stdout)

    def test_a_bad_configuration_ends_with_2_and_names_line_and_nearest_key(self):
        file = self.directory / "bad.yml"
        file.write_text("app:\n  prot: 7002\n")
        for arguments in (["config", "check", file], ["--config", file]):
            bad = run(*arguments)
            self.assertEqual(bad.returncode, 2)
            self.assertIn("bad.yml:2", bad.stderr)
            self.assertIn("port", bad.stderr)

    def test_what_only_a_library_finds_wrong_ends_with_2_as_well(self):
        file = self.directory / "bad.yml"
        for text, fault in (("app: {role_type: producer}\nmetric_store: {producer: {hosts: ['127.0.0.1:1']}}\nlibrdkafka: {lingr.ms: 5}\n",
                             "bad.yml:3: librdkafka.lingr.ms"),
                            ("remote: {send: {url: 'http://host:99999/'}}\n", "bad.yml:1: remote.send.url"),
                            ("remote: {send: {url: 'http://me:hunter2@host/?token=hunter2'}}\n", "bad.yml:1: remote.send.url")):
            file.write_text(text)
            for arguments in (["config", "check", file], ["--config", file, "--listen", "127.0.0.1:0", "--data", self.directory / "data"]):
                with self.subTest(text=text, arguments=arguments):
                    bad = run(*arguments)
                    self.assertEqual(bad.returncode, 2)
                    self.assertIn(fault, bad.stderr)
                    self.assertNotIn("hunter2", bad.stderr)

    def test_an_environment_without_its_file_ends_with_2(self):
        self.assertEqual(run("config", "show", env={"GO_ENV": "prod"}, cwd=self.directory).returncode, 2)

    def test_a_role_without_what_it_must_be_told_ends_with_2_and_names_the_key(self):
        bad = run("serve", "--role", "producer")
        self.assertEqual(bad.returncode, 2, bad.stderr)
        self.assertIn("metric_store.producer.hosts", bad.stderr)


class Start(support.TestCase):
    def fails_to_start(self, *arguments):
        failed = run("serve", *arguments)
        self.assertEqual(failed.returncode, 1, failed.stderr)
        return failed.stderr

    def test_a_port_in_use_is_noticed_and_named(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            message = self.fails_to_start("--listen", f"127.0.0.1:{port}", "--data", self.directory / "data")
        self.assertIn(str(port), message)
        self.assertIn("app.listen", message)

    def test_a_port_of_profiles_in_use_is_named_with_its_own_knob(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            file = self.directory / "metric-index.yml"
            file.write_text(f"pprof: {{listen: '127.0.0.1:{taken.getsockname()[1]}'}}\n")
            message = self.fails_to_start("--config", file, "--listen", "127.0.0.1:0", "--data", self.directory / "data")
        self.assertIn("(pprof.listen)", message)
        self.assertNotIn("app.listen", message)

    def test_a_second_process_on_the_same_port_is_refused_although_the_first_shares_it_among_its_threads(self):
        first = self.service()
        message = self.fails_to_start("--listen", first.url.removeprefix("http://"), "--data", self.directory / "other")
        self.assertIn("app.listen", message)

    def test_a_data_directory_in_use_is_refused_with_the_pid(self):
        first = self.service()
        message = self.fails_to_start("--listen", "127.0.0.1:0", "--data", first.directory / "data")
        self.assertIn(str(first.pid), message)

    def test_a_data_directory_that_cannot_be_made_is_named(self):
        (self.directory / "file").write_text("not a folder")
        message = self.fails_to_start("--listen", "127.0.0.1:0", "--data", self.directory / "file" / "data")
        self.assertIn("app.data_dir", message)

    def test_a_damaged_catalogue_is_named_and_left_alone(self):
        data = self.directory / "data"
        data.mkdir()
        (data / "catalog.db").write_bytes(b"this is no database" * 100)
        message = self.fails_to_start("--listen", "127.0.0.1:0", "--data", data)
        self.assertIn("catalog.db", message)
        self.assertEqual((data / "catalog.db").read_bytes(), b"this is no database" * 100)

    def test_another_identity_secret_is_another_catalogue(self):
        service = self.service()
        service.stop()
        failed = subprocess.run([str(BINARY), "serve", "--listen", "127.0.0.1:0", "--data", str(service.directory / "data")],
                                capture_output=True, text=True, timeout=30, check=False,
                                env={**os.environ, "METRIC_INDEX_IDENTITY_SECRET": "another"})
        self.assertEqual(failed.returncode, 2)
        self.assertIn("identity.secret", failed.stderr)
        self.assertNotIn("another\n", failed.stderr)


    def test_it_says_the_address_that_it_listens_on(self):
        for listen, host in (("127.0.0.2:0", "127.0.0.2"), ("[::1]:0", "[::1]"), ("0.0.0.0:0", "localhost"), (":0", "localhost")):
            data = self.directory / f"data-{listen}"
            service = self.start(support.Process("metric-index", [BINARY, "--listen", listen, "--data", data], f"{data}.log"))
            wait_for(lambda: f"is listening on http://{host}:" in service.output(), what=f"the banner of {listen}")
            self.assertEqual(service.stop(), 0)

    def test_its_name_is_in_json_log_lines_and_in_build_info(self):
        service = self.service(env={"METRIC_INDEX_APP_NAME": "index-7", "METRIC_INDEX_LOG_FORMAT": "json"})
        self.assertEqual(service.metric("build_info", name="index-7", role="standalone"), 1)
        lines = [json.loads(line) for line in service.output().splitlines() if line.startswith("{")]
        self.assertEqual({line["app"] for line in lines}, {"index-7"})


class Stop(support.TestCase):
    def test_sigterm_and_sigint_end_with_0(self):
        for sign in (signal.SIGTERM, signal.SIGINT):
            service = self.service(name=f"by-{sign}")
            service.popen.send_signal(sign)
            self.assertEqual(service.popen.wait(15), 0)

    def test_under_load_every_request_that_got_in_is_answered_and_all_of_it_is_catalogued(self):
        service = self.service()
        acknowledged = self.directory / "acknowledged"
        sent = []
        sender = threading.Thread(target=lambda: sent.append(support.loadgen(
            "--url", f"{service.url}/api/v1/write", "--series", 200_000, "--duration", "6s", "--churn", 20_000,
            "--connections", 4, "--acknowledged", acknowledged, "--json")))
        sender.start()
        wait_for(lambda: service.metric("receive_series_total", result="new") > 20_000, what="load")
        self.assertEqual(service.stop(timeout=10), 0)
        again = self.service(port=service.port)
        sender.join()
        self.assertEqual(sent[0].returncode, 0, sent[0].stdout + sent[0].stderr)
        result = json.loads(sent[0].stdout)
        self.assertLessEqual(set(result["status"]), {"204", "503"}, "acknowledged, or to be repeated")
        self.assertEqual((result["refused"], result["unfinished"]), (0, 0))
        verified = support.loadgen("verify", "--url", again.url, "--acknowledged", acknowledged)
        self.assertEqual(verified.returncode, 0, verified.stdout + verified.stderr)

    def test_a_warm_restart_knows_what_it_knew(self):
        service = self.service()
        url = f"{service.url}/api/v1/write"
        self.assertEqual(support.loadgen("--url", url, "--series", 20_000, "--duration", "2s").returncode, 0)
        service.wait_until_indexed()
        self.assertEqual(service.stop(), 0)
        service = self.service()
        self.assertIn("from the snapshot", service.output())
        self.assertEqual(support.loadgen("--url", f"{service.url}/api/v1/write", "--series", 20_000, "--duration", "1s").returncode, 0)
        self.assertEqual(service.metric("receive_series_total", result="new"), 0)


class Fatal(support.TestCase):
    """A condition that only a restart repairs: one line in the log, exit code 1, and the restart serves everything again."""

    def ends_with_1(self, service, reason):
        self.assertEqual(service.popen.wait(30), 1)
        fatal = [line for line in service.output().splitlines() if "fatal, the process ends and must be restarted" in line]
        self.assertEqual(len(fatal), 1, service.output())
        self.assertIn(reason, fatal[0])

    def send(self, service):
        _, body, labels = support.golden("prometheus-3.16-v1", "01")
        wait_for(lambda: support.write(service.url, body)[0] == 204, what="an acknowledgement")
        service.wait_until_indexed()
        return labels

    def test_a_catalogue_that_was_replaced(self):
        service = self.service()
        self.send(service)
        before = service.series('{__name__!=""}')
        self.assertTrue(before)
        catalogue = service.directory / "data" / "catalog.db"
        copy = self.directory / "backup.db"
        with sqlite3.connect(catalogue) as source, sqlite3.connect(copy) as target:
            source.backup(target)
        copy.rename(catalogue)
        self.ends_with_1(service, "catalog.db was deleted or replaced")
        self.assertFalse(catalogue.with_name("catalog.db-wal").exists(), "the log of the old file must not be applied to the new one")
        again = self.service()
        self.assertEqual(again.series('{__name__!=""}'), before)
        self.send(again)

    def test_a_data_directory_that_was_deleted(self):
        service = self.service()
        self.send(service)
        before = service.series('{__name__!=""}')
        shutil.rmtree(service.directory / "data")
        self.ends_with_1(service, "was deleted or moved")
        again = self.service()
        self.send(again)  # senders bring everything again
        self.assertEqual(again.series('{__name__!=""}'), before)


class Reload(support.TestCase):
    def write(self, text):
        """Replaces the file as editors do: writes a new file, then renames it."""
        file = self.directory / "metric-index.yml"
        (self.directory / "new").write_text(text)
        (self.directory / "new").rename(file)
        return file

    def test_limits_change_without_a_restart_and_a_broken_file_changes_nothing(self):
        file = self.write("receive:\n  max_labels: 2\n")
        service = self.service("--config", file)
        _, body, _ = support.golden("prometheus-3.16-v1", "01")

        def status():
            return support.write(service.url, body)[0]

        self.assertEqual(status(), 400)
        self.write("receive:\n  max_lables: 128\n")
        wait_for(lambda: "max_lables" in service.output(), what="the log to name the fault")
        self.assertEqual(status(), 400)
        self.assertEqual(service.metric("config_reload_success"), 0)
        self.write("receive:\n  max_labels: 128\napp:\n  port: 7009\n")
        wait_for(lambda: status() == 204, what="the new limit")
        self.assertEqual(service.metric("config_reload_success"), 1)
        self.assertEqual(service.metric("config_restart_needed"), 1)
        service.popen.send_signal(signal.SIGHUP)
        wait_for(lambda: service.output().count("configuration") >= 3, what="SIGHUP")
        self.assertTrue(service.alive())

    def test_what_cannot_be_taken_is_not_said_to_be_and_is_taken_once_its_cause_is_mended(self):
        logs = self.directory / "logs"
        logs.write_text("not a folder")
        file = self.write("receive:\n  max_labels: 2\n")
        service = self.service("--config", file)
        _, body, _ = support.golden("prometheus-3.16-v1", "01")
        self.write(f"receive: {{max_labels: 128}}\nlog: {{filename: {logs}/x.log}}\nremote: {{write: {{url: 'http://a/w'}}}}\n")
        wait_for(lambda: "configuration not reloaded" in service.output(), what="the refusal")
        self.assertEqual(service.metric("config_reload_success"), 0)
        self.assertNotIn("configuration reloaded", service.output())
        self.assertEqual(support.write(service.url, body)[0], 400)
        logs.unlink()
        service.popen.send_signal(signal.SIGHUP)
        wait_for(lambda: service.metric("config_reload_success") == 1, what="the file to be taken")
        self.assertEqual(support.write(service.url, body)[0], 204)
        lines = (logs / "x.log").read_text()
        self.assertIn("enabled is false", lines, "a warning of the configuration")
        self.assertIn("configuration reloaded", lines)

    def test_a_log_of_errors_has_no_word_of_a_reload_that_went_well(self):
        service = self.service("--config", self.write("log: {level: error}\n"))
        self.write("log: {level: error}\napp: {name: other}\n")
        wait_for(lambda: service.metric("config_restart_needed") == 1, what="the reload")
        self.write("log: {level: loud}\n")
        wait_for(lambda: "configuration not reloaded" in service.output(), what="the error")
        self.assertNotIn("configuration reloaded", service.output())


if __name__ == "__main__":
    support.main()
