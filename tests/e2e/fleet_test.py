#!/usr/bin/env python3
"""The fleet as operators run it: producers, consumers and query processes over real Kafka, Redis and MariaDB."""
import json
import re
import subprocess
import threading
import time

import support
import wire
from fleet import FleetCase
from support import get_json, request, wait_for, write


def run(*arguments, timeout=120):
    return subprocess.run([str(support.BINARY), *map(str, arguments)], capture_output=True, text=True, timeout=timeout, check=False)


class Fleet(FleetCase):
    def test_what_producers_receive_can_be_asked_of_a_query_process(self):
        producers = [self.role("producer"), self.role("producer")]
        consumers = [self.role("consumer"), self.role("consummer")]
        query = self.role("query")
        files = [self.send(producer, seed=seed) for seed, producer in enumerate(producers)]
        self.verify(query, *files)
        self.assert_no_row_twice()
        for process in (*producers, *consumers, query):
            self.assertEqual(process.stop(), 0, process.output())

    def same_series_at_once(self, **sections):
        """Sends the same 100,000 new series to two producers at the same time. Returns the number of records in Kafka."""
        producers = [self.role("producer", **sections), self.role("producer", **sections)]
        self.role("consumer")
        query = self.role("query")
        self.wait_for_secret(*producers)
        files = []
        senders = [threading.Thread(target=lambda p=p: files.append(self.send(p, series=100_000, duration="10m", *[
            "--requests", 200, "--batch", 500, "--connections", 2]))) for p in producers]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()
        self.assertEqual(len(files), 2)
        self.verify(query, *files)
        self.assertEqual(self.assert_no_row_twice(), 100_000)
        return self.kafka.count(self.topic)

    def test_two_producers_with_the_same_new_series_make_100000_rows_with_redis(self):
        records = self.same_series_at_once()
        print(f"Redis on: {records} records in Kafka for 100,000 series sent to both producers")
        self.assertGreaterEqual(records, 100_000)
        # How many records both published depends on timing. Another test proves that a series which Redis knows is not published again.

    def test_two_producers_with_the_same_new_series_make_100000_rows_without_redis(self):
        records = self.same_series_at_once(redis={"port": support.free_port()})
        print(f"Redis off: {records} records in Kafka for 100,000 series sent to both producers")
        self.assertEqual(records, 200_000)

    def test_what_one_producer_published_another_does_not_publish_again(self):
        first, second = self.role("producer"), self.role("producer")
        self.send(first)
        published = self.kafka.count(self.topic)
        wait_for(lambda: int(self.redis.command("-n", str(self.number % 16), "dbsize")) >= published, what="Redis to be told")
        self.send(second)
        self.assertEqual(self.kafka.count(self.topic), published)

    def test_records_in_the_form_of_the_go_service_are_indexed(self):
        labels = [{"name": "service", "value": "shop"}, {"name": "__name__", "value": "go_form"}, {"name": "b"},
                  {"name": "a", "value": 'quote " and \\ and \n'}]
        value = json.dumps({"labels": labels, "content": "whatever the other service made of it"})
        self.role("producer")  # creates the topic
        self.kafka.produce(self.topic, [("a wrong key", value)])
        self.role("consumer")
        query = self.role("query")
        wait_for(lambda: query.series("go_form"), what="the series")
        self.assertEqual(query.series("go_form"), {(("__name__", "go_form"), ("a", 'quote " and \\ and \n'), ("service", "shop"))})

    def test_our_records_have_the_form_that_the_go_service_reads(self):
        producer = self.role("producer")
        status, _, _ = write(producer.url, wire.snappy(wire.series_v1(__name__="form", a="1", b="2")))
        self.assertEqual(status, 204)
        record = self.kafka.records(self.topic)[0]
        self.assertEqual(record["key"], 'form{a="1",b="2"}')
        value = json.loads(record["payload"])
        self.assertEqual(value["content"], 'form{a="1",b="2"}')
        self.assertEqual(value["labels"], [{"name": "__name__", "value": "form"}, {"name": "a", "value": "1"},
                                           {"name": "b", "value": "2"}])

    def test_the_reference_configuration_starts_a_consumer_hosts_aside(self):
        reference = (support.ROOT / "tests" / "data" / "reference-config.yml").read_text()
        text = re.sub(r"kafka-00\d:9092", self.kafka.address, reference)
        text = text.replace("port: 3306", f"port: {self.mariadb.port}").replace("port: 6379", f"port: {self.redis.port}")
        text = text.replace('filename: "logs/', f'filename: "{self.directory}/logs/')
        text = text.replace('topic: "metric-index"', f'topic: "{self.topic}"').replace('- "metric-index"', f'- "{self.topic}"')
        text = text.replace("password: mypassword", 'password: ""')
        file = self.directory / "reference.yml"
        file.write_text(text)
        self.role("producer")  # creates the topic
        self.mariadb.sql("DROP DATABASE IF EXISTS `metric-index`")
        consumer = self.role("consumer", config=file)
        self.wait_for_readiness(consumer, "ready")
        self.assertEqual(consumer.stop(), 0)
        self.mariadb.sql("DROP DATABASE `metric-index`")

    def test_all_in_one_process(self):
        service = self.role("all")
        self.verify(service, self.send(service))
        self.assertEqual(service.stop(), 0, service.output())

    def test_a_role_comes_up_with_everything_missing_and_says_so(self):
        nowhere = support.free_port()
        missing = {"hosts": [f"127.0.0.1:{nowhere}"]}
        producer = self.role("producer", wait=False, metric_store={"producer": {**missing, "topic": self.topic}},
                             redis={"port": nowhere})
        self.wait_for_readiness(producer, "kafka: waiting for")
        self.wait_for_readiness(producer, "redis: impaired")
        status, headers, body = write(producer.url, wire.snappy(wire.series_v1(__name__="up")))
        self.assertEqual(status, 503, body)
        self.assertIn("Retry-After", headers)
        query = self.role("query", wait=False, mysql={"port": nowhere})
        self.wait_for_readiness(query, "mysql: waiting for")
        self.assertEqual(request(f"{query.url}/api/v1/labels")[0], 503)
        for process in (producer, query):
            self.assertEqual(process.stop(), 0, process.output())

    def test_a_producer_takes_the_secret_of_fingerprints_from_the_database(self):
        producer = self.role("producer")
        self.assertIn("identity: impaired", self.readiness(producer)[1])  # there is no catalogue yet
        self.assertEqual(write(producer.url, wire.snappy(wire.series_v1(__name__="early")))[0], 204)
        self.role("consumer")
        query = self.role("query")
        self.wait_for_secret(producer)
        collision = json.loads((support.ROOT / "tests" / "data" / "collision.json").read_text())
        for labels in (collision["a"], collision["b"]):
            self.assertEqual(write(producer.url, wire.snappy(wire.series_v1(**labels)))[0], 204)
        wait_for(lambda: len(query.series("coll")) == 2 and query.series("early"), what="the series")
        secret = self.mariadb.sql("SELECT identity_secret FROM schema_version", self.database)[0][0]
        self.assertRegex(secret, "^[0-9a-f]{32}$")
        self.assertNotIn(secret, producer.output() + query.output())

    def test_a_producer_without_a_database_works_and_says_what_it_lacks(self):
        producer = self.role("producer", mysql={"port": support.free_port()})
        self.assertIn("identity: impaired", self.readiness(producer)[1])
        self.assertIn("identity.secret", producer.output())
        self.role("consumer")
        query = self.role("query")
        self.assertEqual(write(producer.url, wire.snappy(wire.series_v1(__name__="without_database")))[0], 204)
        wait_for(lambda: query.series("without_database"), what="the series")

    def test_a_wrong_password_and_an_unknown_database_are_named(self):
        self.mariadb.sql("CREATE USER IF NOT EXISTS 'guarded'@'%' IDENTIFIED BY 'right'")
        wrong = self.role("query", wait=False, mysql={"user": "guarded", "password": "wrong"})
        self.wait_for_readiness(wrong, "mysql.password")
        unknown = self.role("query", wait=False, mysql={"user": "guarded", "password": "right"})
        self.wait_for_readiness(unknown, self.database)

    def test_activity_moves_last_seen_and_query_processes_learn_of_it(self):
        often = {"catalog": {"activity_interval": "2s"}}
        producer = self.role("producer", **often)
        self.role("consumer", **often)
        query = self.role("query", **often)
        self.wait_for_secret(producer)
        body = wire.snappy(wire.series_v1(__name__="alive"))
        self.assertEqual(write(producer.url, body)[0], 204)
        wait_for(lambda: query.series("alive"), what="the series")
        began = time.time() + 5  # later than the first activity of the series plus one window

        def seen_again():
            self.assertEqual(write(producer.url, body)[0], 204)
            return query.series("alive", start=began)

        wait_for(seen_again, what="the series to be seen again")
        self.assertEqual(self.kafka.count(self.topic), 1)

    def test_replay_rebuilds_an_empty_database_from_the_topic(self):
        producer = self.role("producer")
        acknowledged = self.send(producer, series=5_000)
        replay = run("replay", "--from", "beginning", "--config", self.config("consumer"))
        self.assertEqual(replay.returncode, 0, replay.stderr)
        self.assertEqual(self.assert_no_row_twice(), 5_000)
        self.verify(self.role("query"), acknowledged)
        # The consumer group continues where the replay ended: nothing is applied again.
        # The consumer group continues where the replay ended: nothing is applied again.
        consumer = self.role("consumer")
        self.wait_for_secret(producer)  # a change of the secret between two requests would publish a series twice
        self.send(producer, seed=2, series=10)
        wait_for(lambda: self.rows()[0] == 5_010, what="the new series")
        self.assertEqual(consumer.metric("index_series_total", result="existing"), 0)

    def test_replay_from_a_time_leaves_out_what_is_older(self):
        producer = self.role("producer")
        self.send(producer, seed=1, series=300)
        since = time.time() + 0.01
        wait_for(lambda: time.time() > since, what="that time")
        newer = self.send(producer, seed=2, series=500)
        replay = run("replay", "--from", f"{since:.3f}", "--config", self.config("consumer"))
        self.assertEqual(replay.returncode, 0, replay.stderr)
        self.assertEqual(self.assert_no_row_twice(), 500)
        self.verify(self.role("query"), newer)

    def test_the_schema_can_be_printed_and_applied_by_hand(self):
        mysql = run("schema", "mysql", "--config", self.config("query"))
        self.assertEqual(mysql.returncode, 0, mysql.stderr)
        self.mariadb.sql(mysql.stdout)
        query = self.role("query")
        self.assertEqual(get_json(f"{query.url}/api/v1/labels")["data"], [])
        self.assertIn("CREATE TABLE", run("schema", "sqlite").stdout)

    def test_the_tables_of_the_go_service_are_refused_until_they_are_adopted(self):
        self.mariadb.sql(f"CREATE DATABASE `{self.database}`")
        self.mariadb.sql("CREATE TABLE metric (id BIGINT PRIMARY KEY, metric TEXT); INSERT INTO metric VALUES (1, 'old')", self.database)
        query = self.role("query", wait=False)
        self.wait_for_readiness(query, "schema adopt")
        adopted = run("schema", "adopt", "--config", self.config("query"))
        self.assertEqual(adopted.returncode, 0, adopted.stderr)
        query.wait_until_ready()
        self.assertEqual(self.mariadb.sql("SELECT metric FROM legacy_metric", self.database), [["old"]])


if __name__ == "__main__":
    support.main()
