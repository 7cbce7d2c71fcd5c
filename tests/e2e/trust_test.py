#!/usr/bin/env python3
"""TLS and logins: a real Prometheus and a real vmagent write with passwords, tokens and certificates; curl, promtool and openssl read;
certificates and logins are replaced under load."""
import base64
import contextlib
import ctypes
import hashlib
import http.client
import json
import os
import socket
import ssl
import subprocess
import threading
import time

import support
from support import get_json, part, request, wait_for
from wire import series_v1, snappy


def bcrypt(password):
    """As htpasswd writes it, with a low cost."""
    crypt = ctypes.CDLL("libcrypt.so.1").crypt
    crypt.restype = ctypes.c_char_p
    return crypt(password.encode(), b"$2y$05$abcdefghijklmnopqrstuu").decode()


def basic(user, password):
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


def sha256(token):
    return hashlib.sha256(token.encode()).hexdigest()


class Trust(support.TestCase):
    def setUp(self):
        super().setUp()
        self.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
                     "/CN=authority", "-keyout", "ca.key", "-out", "ca.crt")
        self.issue("server", "/CN=localhost", "DNS:localhost,IP:127.0.0.1")
        self.issue("agent", "/O=acme/CN=agent", "DNS:agent.eu")
        self.issue("stranger", "/CN=stranger", "DNS:stranger.eu")
        os.environ["SSL_CERT_FILE"] = str(self.directory / "ca.crt")

    def openssl(self, *arguments):
        return subprocess.run(["openssl", *arguments], cwd=self.directory, capture_output=True, text=True, check=True, timeout=60)

    def issue(self, name, subject, sans):
        self.openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", subject, "-keyout",
                     f"{name}.key.new", "-out", f"{name}.csr")
        (self.directory / "extensions").write_text(f"subjectAltName={sans}\n")
        self.openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
                     "-extfile", "extensions", "-out", f"{name}.crt.new")
        for kind in ("key", "crt"):
            os.rename(self.directory / f"{name}.{kind}.new", self.directory / f"{name}.{kind}")

    def write_web_file(self, users=("alice",), client_auth="VerifyClientCertIfGiven", more=""):
        text = f"""
tls_server_config:
  cert_file: server.crt
  key_file: server.key
  client_auth_type: {client_auth}
  client_ca_file: ca.crt
http_server_config:
  headers: {{X-Frame-Options: deny}}
basic_auth_users:
{"".join(f"  {user}: {bcrypt(user + '-password')}{chr(10)}" for user in users)}
tokens:
  - {{name: writer-eu, sha256: {sha256("write-eu")}, roles: [write], tenants: [eu]}}
  - {{name: reader-eu, sha256: {sha256("read-eu")}, roles: [read], tenants: [eu]}}
  - {{name: root, sha256: {sha256("root")}, roles: [write, read, admin], tenants: ["*"]}}
grants:
  "CN=agent,O=acme": {{roles: [write], tenants: ["7:1"]}}
{more}"""
        (self.directory / "web.yml.new").write_text(text)
        os.rename(self.directory / "web.yml.new", self.directory / "web.yml")

    def secure_service(self, **options):
        self.write_web_file(**options)
        return self.service(f"--web.config.file={self.directory}/web.yml", scheme="https", headers=bearer("root"))

    def sender_url(self, service):
        return f"https://localhost:{service.port}/api/v1/write"

    def series_of(self, service, tenant):
        return get_json(f"{service.url}/api/v1/series", headers={**bearer("root"), "X-Scope-OrgID": tenant},
                        **{"match[]": "up"})["data"]

    def start_prometheus(self, name, remote_write):
        port = support.free_port()
        config = {"global": {"scrape_interval": "1s", "external_labels": {"sender": name}},
                  "scrape_configs": [{"job_name": "self", "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}],
                  "remote_write": [{"queue_config": {"batch_send_deadline": "1s"}, **remote_write}]}
        (self.directory / f"{name}.yml").write_text(json.dumps(config))
        return self.start(support.Process(name, [
            part("prometheus"), f"--config.file={self.directory}/{name}.yml", f"--web.listen-address=127.0.0.1:{port}",
            f"--storage.tsdb.path={self.directory}/{name}-tsdb"], self.directory / f"{name}.log"))

    def start_vmagent(self, name, service, *arguments):
        port = support.free_port()
        config = {"global": {"scrape_interval": "1s", "external_labels": {"sender": name}},
                  "scrape_configs": [{"job_name": "self", "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}]}
        (self.directory / f"{name}.yml").write_text(json.dumps(config))
        return self.start(support.Process(name, [
            part("vmagent"), f"-promscrape.config={self.directory}/{name}.yml", f"-httpListenAddr=127.0.0.1:{port}",
            f"-remoteWrite.url={self.sender_url(service)}", f"-remoteWrite.tlsCAFile={self.directory}/ca.crt",
            "-remoteWrite.flushInterval=500ms", f"-remoteWrite.tmpDataPath={self.directory}/{name}-queue", *arguments],
            self.directory / f"{name}.log"))

    # ---- real senders

    def test_real_senders_write_with_passwords_tokens_and_certificates(self):
        service = self.secure_service()
        ca = {"ca_file": f"{self.directory}/ca.crt"}
        url = self.sender_url(service)
        agent = {"cert_file": f"{self.directory}/agent.crt", "key_file": f"{self.directory}/agent.key"}
        self.start_prometheus("prometheus-password", {"url": url.replace("/api/", "/insert/us/prometheus/api/"), "tls_config": ca,
                                                      "basic_auth": {"username": "alice", "password": "alice-password"}})
        self.start_prometheus("prometheus-token", {"url": url, "tls_config": ca, "authorization": {"credentials": "write-eu"}})
        self.start_prometheus("prometheus-certificate", {"url": url, "tls_config": {**ca, **agent}})
        self.start_vmagent("vmagent-password", service, "-remoteWrite.basicAuth.username=alice",
                           "-remoteWrite.basicAuth.password=alice-password", "-remoteWrite.headers=X-Scope-OrgID:us")
        self.start_vmagent("vmagent-token", service, "-remoteWrite.bearerToken=write-eu")
        self.start_vmagent("vmagent-certificate", service, f"-remoteWrite.tlsCertFile={self.directory}/agent.crt",
                           f"-remoteWrite.tlsKeyFile={self.directory}/agent.key")
        for tenant, login in (("us", "password"), ("eu", "token"), ("7:1", "certificate")):
            wanted = {f"prometheus-{login}", f"vmagent-{login}"}
            wait_for(lambda: {labels["sender"] for labels in self.series_of(service, tenant)} == wanted, what=f"{wanted} in {tenant}")
        self.assertEqual(service.metric("access_refused_total", reason="wrong_login"), 0)
        self.assertEqual(service.metric("access_refused_total", reason="tenant"), 0)
        # The sender's log says why it is refused; the service goes on.
        wrong = self.start_prometheus("prometheus-wrong", {"url": url, "tls_config": ca, "authorization": {"credentials": "guess"}})
        wait_for(lambda: "401" in wrong.output(), what="the refusal in Prometheus' log")
        self.assertGreater(service.metric("access_refused_total", reason="wrong_login"), 0)
        print("Prometheus and vmagent write with password, token and certificate")

    # ---- tools that read

    def test_curl_promtool_and_openssl_read(self):
        service = self.secure_service()
        body = snappy(series_v1(__name__="up", instance="a"))
        for tenant in ("eu", "us"):
            status, _, _ = support.write(service.url, body, {**bearer("root"), "X-Scope-OrgID": tenant})
            self.assertEqual(status, 204)
        service.wait_until_indexed()
        url = f"https://localhost:{service.port}"

        def curl(*arguments):
            return subprocess.run(["curl", "-sS", "-g", "--cacert", f"{self.directory}/ca.crt", *arguments], capture_output=True,
                                  text=True, check=False, timeout=60)

        labels = curl("-u", "alice:alice-password", f"{url}/api/v1/labels")
        self.assertEqual(json.loads(labels.stdout)["data"], ["__name__", "instance"], labels.stderr)
        refused = curl("-i", f"{url}/api/v1/labels")
        self.assertIn("HTTP/1.1 401", refused.stdout)
        self.assertRegex(refused.stdout, r'WWW-Authenticate: Basic realm="metric-index"')
        self.assertIn("X-Frame-Options: deny", refused.stdout)
        self.assertIn("403", curl("-i", "-H", "Authorization: Bearer read-eu", f"{url}/metrics").stdout.splitlines()[0])
        self.assertIn("https://", curl(f"http://localhost:{service.port}/health").stdout)

        # A query covers what the login may read, and no more.
        eu = get_json(f"{service.url}/select/eu/prometheus/api/v1/series", headers=bearer("read-eu"), **{"match[]": "up"})["data"]
        self.assertEqual(len(eu), 1)
        self.assertEqual(request(f"{service.url}/select/us/prometheus/api/v1/labels", headers=bearer("read-eu"))[0], 403)
        support.write(service.url, snappy(series_v1(__name__="secret_of_us")), {**bearer("root"), "X-Scope-OrgID": "us"})
        service.wait_until_indexed()
        self.assertEqual(get_json(f"{service.url}/api/v1/label/__name__/values", headers=bearer("read-eu"))["data"], ["up"])
        self.assertIn("secret_of_us", get_json(f"{service.url}/api/v1/label/__name__/values", headers=bearer("root"))["data"])

        found = subprocess.run([part("promtool"), "query", "series", "--match=up", url.replace("//", "//alice:alice-password@")],
                               capture_output=True, text=True, check=False, timeout=60)
        self.assertIn('instance="a"', found.stdout, found.stderr)

        def s_client(*arguments, send=""):
            return subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{service.port}", "-CAfile", "ca.crt", *arguments],
                                  cwd=self.directory, input=send, capture_output=True, text=True, check=False, timeout=60)

        for version in ("-tls1_2", "-tls1_3"):
            answer = s_client(version, "-alpn", "h2,http/1.1", "-quiet", send="GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            self.assertIn("SUCCESS", answer.stdout, answer.stderr)
            saved = s_client(version, "-sess_out", "session", "-ign_eof", send="GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            self.assertIn("Verify return code: 0", saved.stdout)
            again = s_client(version, "-sess_in", "session", "-ign_eof", send="GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            self.assertIn("Reused, TLS", again.stdout, again.stderr)
        for refused in (("-tls1_1", "-cipher", "ALL:@SECLEVEL=0"), ("-tls1", "-cipher", "ALL:@SECLEVEL=0"),
                        ("-tls1_2", "-cipher", "AES128-SHA:AES256-GCM-SHA384")):
            self.assertNotEqual(s_client(*refused).returncode, 0, refused)
        compressed = s_client("-tls1_2").stdout
        self.assertIn("Compression: NONE", compressed)
        self.assertIn("Secure Renegotiation IS supported", compressed)

    # ---- changes under load

    def test_a_certificate_is_replaced_under_load_without_a_failed_request(self):
        service = self.secure_service()
        context = ssl.create_default_context(cafile=self.directory / "ca.crt")
        stop = threading.Event()
        failures, answered = [], [0, 0]

        def send(number, reuse):
            connection = None
            body = snappy(series_v1(__name__="up", sender=str(number)))
            while not stop.is_set():
                try:
                    connection = connection or http.client.HTTPSConnection("127.0.0.1", service.port, context=context, timeout=30)
                    connection.request("POST", "/api/v1/write", body, {"Content-Type": "application/x-protobuf", **bearer("write-eu")})
                    answer = connection.getresponse()
                    answer.read()
                    if answer.status != 204:
                        failures.append(answer.status)
                    answered[reuse] += 1
                    if not reuse:
                        connection.close()
                        connection = None
                except Exception as error:  # pylint: disable=broad-except
                    failures.append(error)
                    connection = None
            if connection:
                connection.close()

        senders = [threading.Thread(target=send, args=(n, n % 2 == 0), daemon=True) for n in range(4)]
        for sender in senders:
            sender.start()

        def serial():
            with context.wrap_socket(service.connect(), server_hostname="127.0.0.1") as peer:
                return peer.getpeercert()["serialNumber"]

        for _ in range(3):
            before, counts = serial(), list(answered)
            self.issue("server", "/CN=localhost", "DNS:localhost,IP:127.0.0.1")
            wait_for(lambda: serial() != before, what="the new certificate")
            wait_for(lambda: all(now > then + 20 for now, then in zip(answered, counts)), what="requests after it")
        stop.set()
        for sender in senders:
            sender.join(60)
        self.assertEqual(failures, [])
        self.assertEqual(service.metric("web_config_reload_success"), 1)
        self.assertGreater(service.metric("web_certificate_expiry_timestamp_seconds"), time.time())
        print(f"3 certificates, {answered[0]} requests on new connections, {answered[1]} on old ones, none failed")

    def test_logins_change_without_a_restart_and_a_broken_file_changes_nothing(self):
        service = self.secure_service()
        labels = f"{service.url}/api/v1/labels"
        bob = basic("bob", "bob-password")
        self.assertEqual(request(labels, headers=bob)[0], 401)
        self.write_web_file(users=("alice", "bob"))
        wait_for(lambda: request(labels, headers=bob)[0] == 200, what="bob")
        self.write_web_file(users=("alice",), more="nonsense: 1\n")
        wait_for(lambda: service.metric("web_config_reload_success") == 0, what="the refusal")
        self.assertEqual(request(labels, headers=bob)[0], 200)
        self.assertRegex(service.output(), r"web.yml:\d+: unknown key 'nonsense'")
        self.write_web_file(users=("alice",))
        wait_for(lambda: service.metric("web_config_reload_success") == 1, what="the file to be taken")
        self.assertEqual(request(labels, headers=bob)[0], 401)

    # ---- certificates of clients, and the start

    def test_clients_that_leave_before_their_answer_stop_nothing(self):
        service = self.secure_service()
        context = ssl.create_default_context(cafile=self.directory / "ca.crt")
        for text in (b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /health HT") * 10:
            with context.wrap_socket(socket.create_connection(("127.0.0.1", service.port), timeout=30), server_hostname="localhost") as s:
                s.sendall(text)
                s.settimeout(0)
                with contextlib.suppress(OSError):
                    s.unwrap()  # close_notify, without a wait for the peer's
        self.assertEqual(request(f"{service.url}/health")[0], 200)

    def test_a_certificate_may_be_needed(self):
        self.write_web_file(client_auth="RequireAndVerifyClientCert")
        service = self.service(f"--web.config.file={self.directory}/web.yml", scheme="https", wait=False)
        url = service.url

        def status(certificate=None, headers=None, path="/ready"):
            context = ssl.create_default_context(cafile=self.directory / "ca.crt")
            if certificate:
                context.load_cert_chain(self.directory / f"{certificate}.crt", self.directory / f"{certificate}.key")
            connection = http.client.HTTPSConnection("127.0.0.1", service.port, context=context, timeout=30)
            try:
                connection.request("GET", path, headers=headers or {})
                return connection.getresponse().status
            except (ssl.SSLError, http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
                return "no connection"
            finally:
                connection.close()

        self.assertTrue(url)
        wait_for(lambda: status("agent") == 200, what="/ready")
        self.assertEqual(status(), "no connection")
        self.assertEqual(status("stranger", path="/api/v1/labels"), 401, "certified, but without a grant")
        self.assertEqual(status("stranger", headers=basic("alice", "alice-password"), path="/api/v1/labels"), 200)
        self.assertEqual(status("agent", path="/api/v1/labels"), 403)
        self.assertEqual(status(headers=basic("alice", "alice-password"), path="/api/v1/labels"), "no connection")

    def test_a_bad_file_is_a_bad_configuration(self):
        for text, message in (("tls_server_config: {cert_file: server.crt, key_file: agent.key}\n", "does not belong to the certificate"),
                              ("basic_auth_users: {alice: secret}\n", "web.yml:1: basic_auth_users.alice wants a bcrypt hash")):
            (self.directory / "web.yml").write_text(text)
            service = self.service(f"--web.config.file={self.directory}/web.yml", wait=False, name="bad")
            self.assertEqual(service.popen.wait(60), 2)
            self.assertIn(message, service.output())
        config = self.directory / "config.yml"
        config.write_text(f"web: {{config_file: {self.directory}/web.yml}}\n")
        checked = subprocess.run([support.BINARY, "config", "check", config], capture_output=True, text=True, check=False, timeout=60)
        self.assertEqual(checked.returncode, 2)
        self.assertIn("config.yml:1: web.config_file", checked.stderr)


if __name__ == "__main__":
    support.main()
