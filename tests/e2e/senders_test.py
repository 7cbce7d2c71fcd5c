#!/usr/bin/env python3
"""A real Prometheus and a real vmagent scrape a real node exporter and Prometheus, and write to the service."""
import json

import support
from support import get_json, part, request, wait_for


def label_sets(data):
    return {tuple(sorted(labels.items())) for labels in data}


class Senders(support.TestCase):
    def start_node_exporter(self):
        port = support.free_port()
        self.start(support.Process("node-exporter", [
            part("prometheus-node-exporter"), f"--web.listen-address=127.0.0.1:{port}", "--collector.textfile.directory=/nowhere"],
            self.directory / "node-exporter.log"))
        wait_for(lambda: request(f"http://127.0.0.1:{port}/metrics")[0] == 200, what="the node exporter")
        return port

    def scrape_config(self, prometheus_port, node_port, sender):
        return json.dumps({
            "global": {"scrape_interval": "1s", "external_labels": {"sender": sender, "note": 'quote " and \\ and 平台'}},
            "scrape_configs": [
                {"job_name": "prometheus", "static_configs": [{"targets": [f"127.0.0.1:{prometheus_port}"]}]},
                {"job_name": "node", "static_configs": [{"targets": [f"127.0.0.1:{node_port}"]}]}]})

    def start_prometheus(self, service, node_port):
        port = support.free_port()
        config = json.loads(self.scrape_config(port, node_port, "prometheus"))
        config["remote_write"] = [{"url": f"{service.url}/api/v1/write", "queue_config": {"batch_send_deadline": "1s"},
                                   "metadata_config": {"send": True, "send_interval": "2s"}}]
        (self.directory / "prometheus.yml").write_text(json.dumps(config))
        self.start(support.Process("prometheus", [
            part("prometheus"), f"--config.file={self.directory}/prometheus.yml", f"--web.listen-address=127.0.0.1:{port}",
            f"--storage.tsdb.path={self.directory}/tsdb"], self.directory / "prometheus.log"))
        url = f"http://127.0.0.1:{port}"
        wait_for(lambda: request(f"{url}/-/ready")[0] == 200, what="Prometheus")
        return port, url

    def test_the_catalogue_equals_what_prometheus_itself_says_label_for_label(self):
        service = self.service()
        node_port = self.start_node_exporter()
        _, prometheus = self.start_prometheus(service, node_port)
        wait_for(lambda: len(get_json(f"{prometheus}/api/v1/query", query="up == 1")["data"]["result"]) == 2, what="two targets up")
        external = {"sender": "prometheus", "note": 'quote " and \\ and 平台'}

        def theirs():
            data = get_json(f"{prometheus}/api/v1/series", **{"match[]": '{__name__=~".+"}'})["data"]
            return label_sets({**labels, **external} for labels in data)

        def equal():
            service.wait_until_indexed()
            ours = service.series('{sender="prometheus"}')
            assert ours, "nothing has arrived"
            missing, extra = theirs() - ours, ours - theirs()
            assert not missing and not extra, f"missing {list(missing)[:3]}, extra {list(extra)[:3]}"
            return ours

        ours = wait_for(equal, what="the two catalogues to be equal")
        self.assertGreater(len(ours), 500)

        names = get_json(f"{service.url}/api/v1/label/__name__/values")["data"]
        self.assertEqual(names, sorted({dict(labels)["__name__"] for labels in ours}))
        metadata = wait_for(lambda: get_json(f"{service.url}/api/v1/metadata", metric="node_cpu_seconds_total")["data"],
                            what="metadata")
        self.assertEqual(metadata["node_cpu_seconds_total"][0]["type"], "counter")
        self.assertIn("CPU", metadata["node_cpu_seconds_total"][0]["help"])
        print(f"{len(ours)} series of a real Prometheus, equal label for label")

    def test_vmagent_writes_to_a_tenant_and_the_rest_is_known_without_io(self):
        service = self.service()
        node_port = self.start_node_exporter()
        port = support.free_port()
        config = json.loads(self.scrape_config(port, node_port, "vmagent"))
        (self.directory / "vmagent.yml").write_text(json.dumps(config))
        self.start(support.Process("vmagent", [
            part("vmagent"), f"-promscrape.config={self.directory}/vmagent.yml", f"-httpListenAddr=127.0.0.1:{port}",
            f"-remoteWrite.url={service.url}/insert/7:1/prometheus/api/v1/write", "-remoteWrite.flushInterval=500ms",
            f"-remoteWrite.tmpDataPath={self.directory}/queue"], self.directory / "vmagent.log"))

        def exposed():
            """The metric names that the node exporter exposes now."""
            _, _, text = request(f"http://127.0.0.1:{node_port}/metrics")
            return {line.split("{")[0].split(" ")[0] for line in text.decode().splitlines() if line and line[0] != "#"}

        def arrived():
            service.wait_until_indexed()
            ours = service.series('{sender="vmagent",job="node"}')
            assert exposed() <= {dict(labels)["__name__"] for labels in ours}
            return ours

        ours = wait_for(arrived, what="all names of the node exporter")
        self.assertIn("up", {dict(labels)["__name__"] for labels in ours})
        tenant = get_json(f"{service.url}/select/7:1/prometheus/api/v1/series", **{"match[]": '{sender="vmagent",job="node"}'})
        self.assertLessEqual(ours, label_sets(tenant["data"]))
        self.assertEqual(get_json(f"{service.url}/select/8/prometheus/api/v1/series", **{"match[]": "up"})["data"], [])
        before = service.metric("receive_series_total", result="known")
        wait_for(lambda: service.metric("receive_series_total", result="known") > before + 500, what="known series")
        self.assertEqual(service.metric("receive_series_total", result="refused"), 0)
        print(f"{len(ours)} series of a real vmagent")


if __name__ == "__main__":
    support.main()
