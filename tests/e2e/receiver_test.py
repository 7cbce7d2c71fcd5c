#!/usr/bin/env python3
"""The duties of a remote write 2.0 receiver: the cases of the public conformance suite, with the exact answer where the suite accepts several."""
import json
import math
import os

import support
from support import request
from wire import RequestV2, histogram, series_v1, snappy

V2 = {"Content-Type": "application/x-protobuf;proto=io.prometheus.write.v2.Request", "Content-Encoding": "snappy",
      "X-Prometheus-Remote-Write-Version": "2.0.0"}
UP = {"__name__": "up"}
NAMELESS = {"job": "testjob", "instance": "localhost:9090"}
VALUES = {"1.0": 1.0, "NaN": math.nan, "Inf": math.inf, "-Inf": -math.inf, "0": 0.0, "large": 1e300}


class Receiver(support.TestCase):
    def setUp(self):
        super().setUp()
        self.server = self.service()

    def send(self, v2, headers=None):
        return support.write(self.server.url, v2.body(), {**V2, **(headers or {})})

    def expect(self, name, v2, status, samples=0, histograms=0, exemplars=0):
        for turn in ("new", "known"):
            with self.subTest(name, turn=turn):
                got, headers, text = self.send(v2)
                self.assertEqual(got, status, text)
                written = tuple(headers.get(f"X-Prometheus-Remote-Write-{kind}-Written") for kind in
                                ("Samples", "Histograms", "Exemplars"))
                self.assertEqual(written, (str(samples), str(histograms), str(exemplars)), text)

    def catalogued(self):
        self.server.wait_until_indexed()
        return self.server.series('{__name__!=""}')

    def test_single_metrics_of_any_value_and_any_utf8_label(self):
        shapes = {"simple": UP, "labels": {**UP, **NAMELESS}, "newlines": {**UP, "job": "test\njob\n"},
                  "dots": {"__name__": "resource.cpu.usage", "job.name": "x"}, "spaces": {"__name__": "resource cpu usage", "job name": "x"},
                  "unsorted": {"z": "1", "a": "2", "__name__": "up"}, "emoji": {**UP, "environment": "test🚀"}}
        for value_name, value in VALUES.items():
            for name, labels in shapes.items():
                self.expect(f"{name} {value_name}", RequestV2().add(labels, samples=[value]), 204, samples=1)
        self.assertEqual(self.catalogued(), {tuple(sorted(labels.items())) for labels in shapes.values()})

    def test_series_without_a_name_are_refused_and_the_others_kept(self):
        for value in VALUES.values():
            self.expect("nameless", RequestV2().add(NAMELESS, samples=[value]), 400)
            self.expect("empty", RequestV2().add({}, samples=[value]), 400)
            self.expect("empty name", RequestV2().add({"__name__": ""}, samples=[value], exemplars=[{"trace_id": "t"}]), 400)
            mixed = RequestV2().add(NAMELESS, samples=[value])
            for port in (9091, 9092, 9093):
                mixed.add({**UP, "instance": f"localhost:{port}"}, samples=[value])
            self.expect("one of four", mixed, 400, samples=3)
        self.assertEqual(len(self.catalogued()), 3)

    def test_native_histograms(self):
        cases = {"basic": histogram(), "positive": histogram(negative=False), "negative": histogram(positive=False, zero=False),
                 "minimal": histogram(positive=False, negative=False), "custom": histogram(False, False, False, custom=True),
                 "empty": histogram(False, False, False)}
        for name, one in cases.items():
            self.expect(name, RequestV2().add({"__name__": f"hist_{name}"}, histograms=[one]), 204, histograms=1)
        both = RequestV2().add({"__name__": "h1"}, histograms=[cases["basic"]]).add({"__name__": "h2"}, histograms=[cases["negative"]])
        self.expect("two", both, 204, histograms=2)
        bad = RequestV2().add({"__name__": "hist_basic"}, histograms=[histogram(negative=False, zero=False, count=99)])
        self.expect("a bad count, of a series that is known", bad, 400)

    def metadata(self, tenant=None):
        headers = {"X-Scope-OrgID": tenant} if tenant else {}
        status, _, body = request(f"{self.server.url}/api/v1/metadata", headers=headers)
        self.assertEqual(status, 200, body)
        return json.loads(body)["data"]

    def test_both_versions_file_the_same_metadata_families(self):
        for tenant, folder in (("one", "vmagent-1.150-snappy"), ("two", "prometheus-3.16-v2")):
            sent, body, _ = support.golden(folder, "01")
            headers = {name: sent["headers"][name] for name in ("Content-Type", "Content-Encoding")}
            status, _, text = support.write(self.server.url, body, {**headers, "X-Scope-OrgID": tenant})
            self.assertEqual(status, 204, text)

        def texts(tenant):  # without the unit, which only the 2.0 sender sends
            return {family: {(said["type"], said["help"]) for said in all} for family, all in self.metadata(tenant).items()}
        one = support.wait_for(lambda: texts("one"), what="the metadata of 1.0")
        two = support.wait_for(lambda: texts("two"), what="the metadata of 2.0")
        self.assertEqual(len(one), 251)
        self.assertEqual(len(two), 277, "the 2.0 sender has 26 metrics more")
        self.assertEqual({family: two.get(family) for family in one}, one)

    def test_several_texts_of_a_family_are_kept_over_a_restart(self):
        for text in ("one", "other"):
            self.send(RequestV2().add({"__name__": "h_bucket", "le": "1"}, samples=[1], metadata=(3, text, "")))

        def both():
            return sorted(said["help"] for said in self.metadata().get("h", [])) == ["one", "other"]
        support.wait_for(both, what="both texts")
        self.server.stop()
        self.server = self.service()
        support.wait_for(both, what="both texts after a restart")

    def test_exemplars_metadata_and_start_timestamps(self):
        labels = {"__name__": "http_requests_total", "job": "api", "region": "🌍"}
        for name, exemplar in {"trace": {"trace_id": "abc"}, "several": {"trace_id": "a", "span_id": "b", "user": "测试"}, "none": {}}.items():
            self.expect(name, RequestV2().add(labels, samples=[1], exemplars=[exemplar]), 204, samples=1, exemplars=1)
        self.expect("three", RequestV2().add(labels, samples=[1, 2, 3], exemplars=[{"trace_id": str(i)} for i in range(3)]), 204,
                    samples=3, exemplars=3)
        self.expect("start timestamp", RequestV2().add(labels, samples=[1], start_timestamp=500), 204, samples=1)
        self.expect("with a histogram", RequestV2().add({"__name__": "h"}, histograms=[histogram()], exemplars=[{"t": "1"}],
                                                        metadata=(3, "Duration.", "seconds")), 204, histograms=1, exemplars=1)
        self.expect("exemplars alone", RequestV2().add({"__name__": "orphan"}, exemplars=[{"trace_id": "x"}]), 204, exemplars=1)
        self.expect("metadata alone", RequestV2().add({"__name__": "orphan_metric"}, metadata=(1, 'äöü\n"quotes"', "special/units")), 204)
        names = {dict(s)["__name__"] for s in self.catalogued()}
        self.assertEqual(names, {"http_requests_total", "h", "orphan"})
        # The index lag counts series only, so metadata may be indexed a moment later.
        metadata = support.wait_for(lambda: "orphan_metric" in (data := self.metadata()) and data, what="the metadata")
        self.assertEqual(metadata["orphan_metric"], [{"type": "counter", "help": 'äöü\n"quotes"', "unit": "special/units"}])
        self.assertEqual(metadata["h"][0]["type"], "histogram")

    def test_many_series_at_once(self):
        many = RequestV2()
        for i in range(50):
            many.add({"__name__": f"counter_metric_{i}", "series": f"series_{i}"}, samples=[i], exemplars=[{"trace_id": f"t{i}"}],
                     metadata=(1, f"Counter {i}", "count"))
        self.expect("many", many, 204, samples=50, exemplars=50)

    def test_forms_that_are_not_ours_and_bodies_that_are_broken(self):
        good = RequestV2().add(UP, samples=[1])
        for kind in ("application/json", "image/png", "application/x-protobuf;proto=unknown"):
            self.assertEqual(self.send(good, {"Content-Type": kind})[0], 415)
        for encoding in ("gzip", "deflate"):
            self.assertEqual(self.send(good, {"Content-Encoding": encoding})[0], 415)
        broken = b"0" + good.body()[1:]
        for schema in (V2, {"Content-Type": "application/x-protobuf"}):
            self.assertEqual(support.write(self.server.url, broken, schema)[0], 400)
        self.assertEqual(request(f"{self.server.url}/api/v1/write", method="PUT", data=b"", headers=V2)[0], 405)
        self.assertEqual(self.catalogued(), set())

    def test_schema_1_is_taken_beside_and_answers_without_counts(self):
        status, headers, _ = support.write(self.server.url, snappy(series_v1(__name__="old", job="x")))
        self.assertEqual(status, 204)
        self.assertFalse([name for name in headers if "written" in name.lower()])

    def test_random_damage_never_ends_the_process(self):
        body = bytearray(support.golden("prometheus-3.16-v2", "01")[1])
        for _ in range(200):
            damaged = bytearray(body)
            at = int.from_bytes(os.urandom(4), "big") % len(damaged)
            damaged[at] ^= 1 << (os.urandom(1)[0] % 8)
            self.assertIn(support.write(self.server.url, bytes(damaged), V2)[0], (204, 400))
        self.assertTrue(self.server.alive())


if __name__ == "__main__":
    support.main()
