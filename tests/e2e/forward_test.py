#!/usr/bin/env python3
"""Forwarding: every sample that is sent through the service can be queried in a real VictoriaMetrics and a real Prometheus behind it."""
import json
import socket
import threading
import time

import support
import wire
from support import get_json, part, request, wait_for, write

STEP_MS = 5000


def body_of(sender, samples):
    """A request of one sender: `samples` is a list of (series number, timestamp, value)."""
    series = b""
    for number, at, value in samples:
        labels = {"__name__": "tee_test", "number": str(number), "sender": str(sender)}
        pairs = b"".join(wire.field(1, wire.field(1, k.encode()) + wire.field(2, v.encode())) for k, v in sorted(labels.items()))
        series += wire.field(1, pairs + wire.field(2, wire.double(1, value) + wire.integer(2, at)))
    return wire.snappy(series)


class Forward(support.TestCase):
    def start_victoria(self, name="victoria", port=None, opentsdb=None):
        port = port or support.free_port()
        arguments = [part("victoria-metrics"), f"-httpListenAddr=127.0.0.1:{port}", f"-storageDataPath={self.directory}/{name}",
                     "-retentionPeriod=1", "-loggerLevel=WARN"]
        if opentsdb:
            arguments.append(f"-opentsdbHTTPListenAddr=127.0.0.1:{opentsdb}")
        process = self.start(support.Process(name, arguments, self.directory / f"{name}.log"))
        wait_for(lambda: request(f"http://127.0.0.1:{port}/health")[0] == 200, what="VictoriaMetrics")
        return process, port

    def start_prometheus(self):
        port = support.free_port()
        (self.directory / "prometheus.yml").write_text("{}")
        self.start(support.Process("prometheus", [
            part("prometheus"), f"--config.file={self.directory}/prometheus.yml", f"--web.listen-address=127.0.0.1:{port}",
            "--web.enable-remote-write-receiver", f"--storage.tsdb.path={self.directory}/tsdb"], self.directory / "prometheus.log"))
        wait_for(lambda: request(f"http://127.0.0.1:{port}/-/ready")[0] == 200, what="Prometheus")
        return port

    def service_with(self, remote):
        config = self.directory / "metric-index.yml"
        config.write_text(json.dumps({"remote": remote}))
        return self.service("--config", config)

    def exported(self, port, metric="tee_test"):
        """{(sender, number): {timestamp: value}} of VictoriaMetrics."""
        status, _, lines = request(f"http://127.0.0.1:{port}/api/v1/export?match[]={metric}")
        assert status == 200, lines
        found = {}
        for line in map(json.loads, lines.decode().splitlines()):
            key = line["metric"]["sender"], line["metric"]["number"]
            found.setdefault(key, {}).update(zip(line["timestamps"], line["values"]))
        return found

    def queried(self, port):
        """The same of Prometheus."""
        found = {}
        for series in get_json(f"http://127.0.0.1:{port}/api/v1/query", query="tee_test[2h]", time=str(time.time() + 60))["data"]["result"]:
            key = series["metric"]["sender"], series["metric"]["number"]
            found[key] = {round(at * 1000): float(value) for at, value in series["values"]}
        return found

    def test_every_sample_that_was_acknowledged_is_in_both_tsdbs_although_one_was_killed(self):
        victoria, victoria_port = self.start_victoria()
        prometheus_port = self.start_prometheus()
        service = self.service_with({"write": [
            {"enabled": True, "url": f"http://127.0.0.1:{victoria_port}/api/v1/write"},
            {"enabled": True, "url": f"http://127.0.0.1:{prometheus_port}/api/v1/write", "when_full": "block"}]})
        rounds, per_sender = 60, 25
        begin = int(time.time() * 1000) - rounds * STEP_MS
        sent = {}
        half_way = threading.Barrier(5)

        def send(sender):
            for number in range(per_sender):
                sent[str(sender), str(number)] = {}
            for turn in range(rounds):
                if turn == rounds // 2:
                    half_way.wait()  # the TSDB is killed
                    half_way.wait()  # it has ended
                samples = [(n, begin + turn * STEP_MS, float(turn * 1000 + n)) for n in range(per_sender)]
                body = body_of(sender, samples)
                wait_for(lambda: write(service.url, body, {"X-Forwarded-For": f"10.0.0.{sender}"})[0] == 204, what="204")
                for number, at, value in samples:
                    sent[str(sender), str(number)][at] = value

        threads = [threading.Thread(target=send, args=(sender,)) for sender in range(4)]
        for thread in threads:
            thread.start()
        half_way.wait()
        # Everything until now is there. A TSDB that is killed may lose samples that it had acknowledged; that is not tested here.
        wait_for(lambda: service.metric("forward_queue_bytes") == 0, what="the queues to be empty")
        wait_for(lambda: self.exported(victoria_port) == sent, what="the first half in VictoriaMetrics")
        victoria.stop()
        half_way.wait()
        for thread in threads:
            thread.join()
        self.assertGreater(service.metric("forward_queue_bytes"), 0)
        self.start_victoria(port=victoria_port)
        wait_for(lambda: service.metric("forward_queue_bytes") == 0, what="the queues to be empty")
        wait_for(lambda: self.exported(victoria_port) == sent, what="every sample in VictoriaMetrics")
        wait_for(lambda: self.queried(prometheus_port) == sent, what="every sample in Prometheus")
        self.assertEqual(service.metric("forward_dropped_total"), 0)
        self.assertEqual(len(service.series("tee_test")), 4 * per_sender)
        print(f"{4 * per_sender * rounds} samples, equal in both TSDBs")

    def test_what_a_real_vmagent_sends_arrives_as_if_we_were_not_there(self):
        _, victoria_port = self.start_victoria()
        service = self.service_with({"write": {"enabled": True, "url": f"http://127.0.0.1:{victoria_port}/api/v1/write"}})
        port = support.free_port()
        (self.directory / "vmagent.yml").write_text(json.dumps({
            "global": {"scrape_interval": "1s"},
            "scrape_configs": [{"job_name": "self", "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}]}))
        agent = self.start(support.Process("vmagent", [
            part("vmagent"), f"-promscrape.config={self.directory}/vmagent.yml", f"-httpListenAddr=127.0.0.1:{port}",
            f"-remoteWrite.url={service.url}/api/v1/write", "-remoteWrite.flushInterval=500ms",
            f"-remoteWrite.tmpDataPath={self.directory}/queue"], self.directory / "vmagent.log"))
        wait_for(lambda: service.metric("forward_sent_total") >= 3, what="requests that were passed on")
        agent.stop()
        wait_for(lambda: service.metric("forward_queue_bytes") == 0, what="the queue to be empty")
        service.wait_until_indexed()

        def equal():
            names = get_json(f"http://127.0.0.1:{victoria_port}/api/v1/series", **{"match[]": '{job="self"}'})["data"]
            theirs = {tuple(sorted(labels.items())) for labels in names}
            ours = service.series('{job="self"}')
            assert ours and ours == theirs, (len(ours), len(theirs), list(ours ^ theirs)[:3])
            return ours

        print(f"{len(wait_for(equal, what='the same series'))} series of a real vmagent in the TSDB and in the catalogue")

    def test_interim_answers_are_not_final_and_the_tenant_is_stated_without_the_senders_credentials(self):
        tsdb = self.enterContext(socket.create_server(("127.0.0.1", 0)))
        tsdb.settimeout(30)
        heads = []

        def serve():
            """Answers two requests of one connection: 100 and 103 come before the final 503 and 204."""
            connection, _ = tsdb.accept()
            with connection, connection.makefile("rb") as received:
                for final in (b"503 Busy\r\nRetry-After: 0", b"204 No Content"):
                    head = dict(line.decode().rstrip("\r\n").lower().split(": ", 1) for line in list(iter(received.readline, b"\r\n"))[1:])
                    received.read(int(head["content-length"]))
                    heads.append(head)
                    connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
                                       b"HTTP/1.1 " + final + b"\r\n" + (b"" if b"204" in final else b"Content-Length: 0\r\n") + b"\r\n")

        server = threading.Thread(target=serve)
        server.start()
        service = self.service_with({"write": {"enabled": True, "url": f"http://127.0.0.1:{tsdb.getsockname()[1]}/write"}})
        body = body_of(0, [(0, 1000, 1.0)])
        # By hand: urllib sends a Connection header of its own.
        with service.connect() as sender:
            sender.sendall(b"POST /api/v1/write HTTP/1.1\r\nHost: x\r\nX-Scope-OrgID: team\r\nConnection: X-Scope-OrgID, close\r\n"
                           b"Authorization: Basic c2VuZGVy\r\nCookie: session=1\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            self.assertIn(b" 204 ", sender.recv(4096))
        server.join(30)
        wait_for(lambda: service.metric("forward_sent_total") == 1, what="the request to be taken")
        self.assertEqual(service.metric("forward_dropped_total"), 0)
        self.assertEqual(len(heads), 2)
        for head in heads:
            self.assertEqual(head["x-scope-orgid"], "team")
            self.assertFalse({"authorization", "cookie"} & head.keys(), head)

    def test_opentsdb_points_are_indexed_and_can_be_queried_in_the_tsdb(self):
        opentsdb = support.free_port()
        _, victoria_port = self.start_victoria(opentsdb=opentsdb)
        service = self.service_with({"send": {"url": f"http://127.0.0.1:{opentsdb}/api/put"}})
        now = int(time.time())
        points = [{"metric": "tee_test", "timestamp": now - i, "value": i * 0.5, "tags": {"sender": "put", "number": str(i % 3)}}
                  for i in range(30)]
        headers = {"Content-Type": "application/json"}
        url = f"{service.url}/api/v1/metrics/send"
        self.assertEqual(request(url, json.dumps({"timeseries": points}).encode(), headers)[0], 204)
        bad = [{"metric": "", "timestamp": now, "value": 1, "tags": {"a": "b"}}, {"metric": "tee_test", "timestamp": now, "value": "x"}]
        status, _, answer = request(f"{url}?details", json.dumps(bad + points[:1]).encode(), headers)
        self.assertEqual(status, 400)
        self.assertEqual({k: v for k, v in json.loads(answer).items() if k != "errors"}, {"failed": 2, "success": 1})
        self.assertEqual([error["datapoint"] for error in json.loads(answer)["errors"]], bad)

        want = {}
        for point in points:
            want.setdefault(("put", point["tags"]["number"]), {})[point["timestamp"] * 1000] = point["value"]
        wait_for(lambda: self.exported(victoria_port) == want, what="every point in VictoriaMetrics")
        service.wait_until_indexed()
        self.assertEqual(len(service.series("tee_test")), 3)


if __name__ == "__main__":
    support.main()
