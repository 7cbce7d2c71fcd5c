#!/usr/bin/env python3
"""The query API over real connections: clients that ask too much or go away, a stop with a full queue, compression and CORS."""
import contextlib
import gzip
import json
import time
import urllib.parse

import support
from support import request, wait_for
from wire import field, integer, series_v1, snappy

# Costs the service more than half a millisecond per value: its automaton outgrows its memory.
SLOW = '{pod=~".*[a-h].{500}|.*[b-h].{499}"}'


class QueryApi(support.TestCase):
    def fill(self, service, count):
        """Catalogues `count` series, each with a value of `pod` and a label name of its own."""
        for begin in range(0, count, 2000):
            body = b"".join(series_v1(**{"__name__": "wide", "pod": f"{i:08}" + "abcdefgh" * 10, f"own_{i:06}": "x"})
                            for i in range(begin, min(begin + 2000, count)))
            self.assertEqual(support.write(service.url, snappy(body))[0], 204)
        service.wait_until_indexed()

    def ask(self, s, path, **parameters):
        """Sends a POST and does not read the answer."""
        form = urllib.parse.urlencode(parameters).encode()
        s.sendall(b"POST %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/x-www-form-urlencoded\r\n"
                  b"Content-Length: %d\r\n\r\n%s" % (path.encode(), len(form), form))

    def read(self, s):
        answer = b""
        while part := s.recv(65536):
            answer += part
        return answer

    def seconds_of_one_plus_one(self, service, source):
        began = time.monotonic()
        with service.connect(60, source) as s:
            self.ask(s, "/api/v1/query", query="1+1")
            self.assertIn(b'"2"]', self.read(s))
        return time.monotonic() - began

    def test_slow_queries_of_one_client_do_not_delay_another(self):
        service = self.service()
        self.fill(service, 100_000)
        with contextlib.ExitStack() as stack:
            slow = [stack.enter_context(service.connect(60)) for _ in range(8)]
            for s in slow:
                self.ask(s, "/api/v1/series", **{"match[]": SLOW, "timeout": "20s"})
            took = self.seconds_of_one_plus_one(service, "127.0.0.2")
            print(f"query=1+1 beside eight slow queries took {took:.3f} s")
            self.assertLess(took, 5)
            for s in slow:
                self.assertRegex(self.read(s), b" 200 OK|the answer took longer than 20 s")

    def test_queries_of_clients_that_went_away_are_not_computed(self):
        service = self.service()
        self.fill(service, 100_000)
        for _ in range(16):
            with service.connect(60) as s:
                self.ask(s, "/api/v1/series", **{"match[]": SLOW})
        took = self.seconds_of_one_plus_one(service, "127.0.0.1")
        print(f"query=1+1 behind sixteen abandoned queries took {took:.3f} s")
        self.assertLess(took, 5)

    def test_a_stop_with_two_hundred_queries_saves_everything(self):
        service = self.service()
        self.fill(service, 100_000)
        with contextlib.ExitStack() as stack:
            waiting = [stack.enter_context(service.connect(60)) for _ in range(200)]
            for s in waiting:  # each connection is accepted before its query is sent
                s.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
                self.assertIn(b"SUCCESS", s.recv(65536))
                self.ask(s, "/api/v1/series", **{"match[]": SLOW})
            self.seconds_of_one_plus_one(service, "127.0.0.2")
            began = time.monotonic()
            self.assertEqual(service.stop(), 0)
            print(f"the stop with 200 queries took {time.monotonic() - began:.1f} s")
            answers = [self.read(s) for s in waiting]
        refused = sum(b"the service is stopping" in answer for answer in answers)
        self.assertEqual(refused + sum(b" 200 OK" in answer for answer in answers), 200)
        self.assertGreater(refused, 100)
        self.assertIn("everything is saved", service.output())
        self.assertTrue((self.directory / "service" / "data" / "seen.snapshot").exists())

    def test_names_of_many_series_are_listed_in_linear_time(self):
        service = self.service()
        self.fill(service, 100_000)
        began = time.monotonic()
        names = support.get_json(f"{service.url}/api/v1/labels", **{"match[]": "wide"})["data"]
        print(f"{len(names)} label names took {time.monotonic() - began:.2f} s")
        self.assertEqual(len(names), 100_002)
        cut = support.get_json(f"{service.url}/api/v1/labels", **{"match[]": "wide", "limit": 2})
        self.assertEqual((cut["data"], len(cut["warnings"])), (["__name__", "own_000000"], 1))

    def test_metadata_is_sent_in_chunks_and_cut_while_it_is_read(self):
        service = self.service()
        for begin in range(0, 8000, 200):
            body = b"".join(field(3, integer(1, 1) + field(2, b"family_%06d" % i) + field(4, b"h" * 1000))
                            for i in range(begin, begin + 200))
            self.assertEqual(support.write(service.url, snappy(body + series_v1(__name__="up", n=str(begin))))[0], 204)
        first = {"family_000000": [{"type": "counter", "unit": "", "help": "h" * 1000}]}
        wait_for(lambda: support.get_json(f"{service.url}/api/v1/metadata", metric="family_007999")["data"], what="the last family")
        before = service.peak()
        cut = support.get_json(f"{service.url}/api/v1/metadata", limit=7_999)
        self.assertEqual(support.get_json(f"{service.url}/api/v1/metadata", limit=1)["data"], first)
        answer = support.get_json(f"{service.url}/api/v1/metadata")
        grown = service.peak() - before
        print(f"8 MB of metadata made the process grow by {grown >> 20} MiB")
        self.assertLess(grown, 10 << 20)
        self.assertEqual((len(answer["data"]), len(cut["data"])), (8_000, 7_999))

    def test_answers_are_compressed_whether_short_or_streamed(self):
        service = self.service()
        self.fill(service, 20_000)
        for limit in (100, 20_000):
            url = f"{service.url}/api/v1/series?match[]=wide&limit={limit}"
            plain = request(url)[2]
            status, headers, body = request(url, headers={"Accept-Encoding": "gzip"})
            self.assertEqual((status, headers["Content-Encoding"], headers["Vary"]), (200, "gzip", "Accept-Encoding"))
            self.assertEqual(gzip.decompress(body), plain)
            self.assertLess(len(body), len(plain) / 3)
            self.assertEqual(len(json.loads(plain)["data"]), limit)

    def test_head_options_and_pages_of_other_origins(self):
        service = self.service(env={"METRIC_INDEX_WEB_CORS_ORIGIN": "https?://grafana"})
        for path in ("/api/v1/labels", "/prometheus/api/v1/status/buildinfo", "/api/v1/rules"):
            status, headers, body = request(service.url + path, method="HEAD", headers={"Origin": "http://grafana"})
            self.assertEqual((status, body, headers["Access-Control-Allow-Origin"]), (200, b"", "http://grafana"))
            self.assertGreater(int(headers["Content-Length"]), 0)
            status, headers, body = request(service.url + path, method="OPTIONS", headers={"Origin": "http://evil"})
            self.assertEqual((status, body, headers["Allow"]), (204, b"", "GET, HEAD, POST, OPTIONS"))
            self.assertNotIn("Access-Control-Allow-Origin", headers)


if __name__ == "__main__":
    support.main()
