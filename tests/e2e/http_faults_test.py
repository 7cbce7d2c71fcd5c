#!/usr/bin/env python3
"""Hostile and broken clients: limits hold, memory stays bounded, and other clients are served."""
import contextlib
import os
import resource
import socket
import zlib

import support
from support import request
from wire import snappy, varint
from wire import series_v1 as series


class HttpFaults(support.TestCase):
    def served(self, service):
        return request(f"{service.url}/health", timeout=10)[2] == b"SUCCESS"

    def raw(self, service, data, timeout=20):
        """Reads until the server closes the connection."""
        with service.connect(timeout) as s:
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
            answer = b""
            with contextlib.suppress(ConnectionError, TimeoutError):
                while piece := s.recv(65536):
                    answer += piece
            return answer

    def test_ten_thousand_idle_connections_cost_little_and_nobody_waits_for_them(self):
        wanted = 10_000
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        if hard < 2 * wanted:
            wanted = hard // 2 - 200
            print(f"*** THE FILE LIMIT IS {hard}: only {wanted} connections are tried ***")
        service = self.service()
        before = service.resident()
        with contextlib.ExitStack() as stack:
            for _ in range(wanted):
                stack.enter_context(service.connect(20))
            self.assertTrue(self.served(service))
            each = (service.resident() - before) / 1024 / wanted
            print(f"{wanted} idle connections, {each:.1f} KiB each")
            self.assertLess(each, 40)
        self.assertTrue(self.served(service))

    def test_connections_over_the_limit_are_turned_away_and_the_others_stay(self):
        service = self.service(env={"METRIC_INDEX_RECEIVE_MAX_CONNECTIONS": "10"})
        with contextlib.ExitStack() as stack:
            kept = [stack.enter_context(service.connect(20)) for _ in range(9)]
            for s in kept:
                s.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
                self.assertIn(b"200 OK", s.recv(4096))
            refused = b""
            for _ in range(5):
                extra = stack.enter_context(service.connect(20))
                with contextlib.suppress(ConnectionError, TimeoutError):
                    extra.settimeout(5)
                    extra.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
                    refused += extra.recv(4096)
            self.assertIn(b"503", refused)
            kept[0].sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
            self.assertIn(b"200 OK", kept[0].recv(4096))

    def test_half_sent_requests_and_half_open_connections_harm_nobody(self):
        service = self.service()
        with contextlib.ExitStack() as stack:
            for beginning in (b"", b"P", b"POST /api/v1/write HTTP/1.1\r\n", b"POST /api/v1/write HTTP/1.1\r\nContent-Length: 100\r\n\r\nabc",
                              b"POST /api/v1/write HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"):
                for _ in range(50):
                    stack.enter_context(service.connect(20)).sendall(beginning)
            self.assertTrue(self.served(service))
            status, _, _ = support.write(service.url, support.golden("prometheus-3.16-v1", "01")[1])
            self.assertEqual(status, 204)
        self.assertEqual(self.raw(service, b"POST /api/v1/write HTTP/1.1\r\nContent-Length: 100\r\n\r\nabc").count(b"HTTP/1.1 2"), 0)

    def test_malformed_requests_are_answered_400_and_the_connection_ends(self):
        service = self.service()
        for bad in (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + os.urandom(64), b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n",
                    b"POST /api/v1/write HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
                    b"POST /api/v1/write HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
                    b"POST /api/v1/write HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"):
            with self.subTest(bad[:60]):
                answer = self.raw(service, bad)
                self.assertTrue(answer == b"" or answer.startswith(b"HTTP/1.1 4"), answer[:100])
        self.assertIn(b" 431 ", self.raw(service, b"GET / HTTP/1.1\r\nX: " + b"x" * 100_000 + b"\r\n\r\n").split(b"\r\n")[0] + b" ")
        self.assertTrue(self.served(service))

    def test_pipelined_requests_are_answered_in_order(self):
        service = self.service()
        body = snappy(series(__name__="up", instance="pipelined"))
        write = b"POST /api/v1/write HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
        last = b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        answer = self.raw(service, write * 20 + last)
        self.assertEqual(answer.count(b"HTTP/1.1 204"), 20)
        self.assertTrue(answer.endswith(b"SUCCESS"))

    def test_a_chunked_body_counts_like_any_other_and_is_limited_like_any_other(self):
        service = self.service(env={"METRIC_INDEX_RECEIVE_MAX_BODY_BYTES": "1MiB"})
        body = snappy(series(__name__="chunked"))
        pieces = b"".join(b"1\r\n" + body[i:i + 1] + b"\r\n" for i in range(len(body))) + b"0\r\n\r\n"
        head = b"POST /api/v1/write HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
        self.assertIn(b"HTTP/1.1 204", self.raw(service, head + pieces))
        huge = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        answer = self.raw(service, head + huge * 40 + b"0\r\n\r\n")
        self.assertIn(b"HTTP/1.1 400", answer)
        self.assertIn(b"receive.max_body_bytes", answer)

    def test_bodies_that_are_bombs_or_noise_are_refused_in_bounded_memory_and_good_ones_are_kept(self):
        service = self.service()
        write = lambda body, **headers: support.write(service.url, body, headers)
        self.assertEqual(write(snappy(series(__name__="good")))[0], 204)
        before = service.resident()
        snappy_bomb = varint(0xFFFFFFFF) + b"\x00a" + b"\xfe\x01\x00" * 100_000
        zstd_bomb = bytes.fromhex("28b52ffd") + b"\x00\x58" + (b"\x03\x00\x10" + b"a") * 3000
        bad = {"empty": b"", "noise": os.urandom(50_000), "snappy bomb": snappy_bomb, "zstd bomb": zstd_bomb,
               "truncated": support.golden("prometheus-3.16-v1", "01")[1][:20_000], "gzip": zlib.compress(b"x" * 1000),
               "40 MiB": b"\0" * (40 << 20), "a field cut short": snappy(b"\x0a\x7fabc"), "a group": snappy(b"\x0b\x0c"),
               "deep unknown fields": snappy(b"\x7a" + varint(3000) + b"\x7a\x02" * 1500)}
        for name, body in bad.items():
            for encoding in ("snappy", "zstd"):
                with self.subTest(name, encoding=encoding):
                    status, _, text = write(body, **{"Content-Encoding": encoding})
                    if name != "deep unknown fields":  # protobuf requires decoders to skip unknown fields, so this is a valid, empty message
                        self.assertEqual(status, 400, text)
                        self.assertEqual(text.count(b"\n"), 1)
        self.assertIn(b"receive.max_body_bytes", write(bad["40 MiB"])[2])
        self.assertLess(service.resident() - before, 200 << 20)
        service.wait_until_indexed()
        self.assertEqual(len(service.series("good")), 1)

    def test_label_values_that_look_like_sql_are_only_values(self):
        service = self.service()
        evil = ["x'); DROP TABLE metric;--", "1' OR '1'='1", '"; DELETE FROM metric', "nul\0inside", "a ", "a", "平台\U0001F600", "x" * 4096]
        body = snappy(b"".join(series(__name__="evil", v=v) for v in evil))
        self.assertEqual(support.write(service.url, body)[0], 204)
        service.wait_until_indexed()
        self.assertEqual({dict(s)["v"] for s in service.series("evil")}, set(evil))

    def test_series_without_env_service_or_any_label_are_indexed(self):
        service = self.service()
        self.assertEqual(support.write(service.url, snappy(series(__name__="bare") + series(__name__="full", env="e", service="s")))[0], 204)
        service.wait_until_indexed()
        self.assertEqual(len(service.series("bare", "full")), 2)
        answer = request(f"{service.url}/api/v1/metrics/cache?key=bare%7B%7D")
        self.assertEqual(answer[0], 200)
        self.assertRegex(answer[2].decode(), r'^\{"code":200,"message":"OK","data":\{"key":"bare\{\}","value":1,"count":2\}\}$')
        self.assertEqual(request(f"{service.url}/api/v1/metrics/cache?key=%7B")[0], 400)
        self.assertIn(b'"Not Found","data":{"key":"none","value":null', request(f"{service.url}/api/v1/metrics/cache?key=none")[2])


if __name__ == "__main__":
    support.main()
