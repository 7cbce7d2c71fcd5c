#!/usr/bin/env python3
"""Faults in a fleet under load. Each test ends with the same check: every acknowledged series is catalogued, and no row exists twice."""
import time

import support
import wire
from fleet import FleetCase
from support import request, wait_for, write


class Load:
    """Sends new series while the block runs, and repeats those that were not acknowledged."""

    def __init__(self, test, producer, seed=1):
        self.test, self.producer = test, producer
        self.file = test.directory / f"acknowledged-{seed}-{producer.port}"
        self.process = test.start(support.Process("loadgen", [
            support.LOADGEN, "--url", f"{producer.url}/api/v1/write", "--series", 5_000, "--churn", 2_000, "--duration", "10m",
            "--batch", 250, "--connections", 2, "--seed", seed, "--acknowledged", self.file], test.directory / f"loadgen-{seed}.log"))

    def __enter__(self):
        self.wait_for_more()
        return self

    def wait_for_more(self, timeout=60):
        """Waits until new series are acknowledged again."""
        before = self.producer.metric("receive_series_total", result="new")
        wait_for(lambda: self.producer.metric("receive_series_total", result="new") > before, timeout, "new series to be answered")

    def __exit__(self, *_):
        self.process.stop()


def hold(seconds):
    """The duration of a fault. This is not a wait for a condition."""
    time.sleep(seconds)


class FleetFaults(FleetCase):
    def fleet(self, producers=1, consumers=1):
        return ([self.role("producer") for _ in range(producers)], [self.role("consumer") for _ in range(consumers)],
                self.role("query"))

    def reckon(self, query, *files):
        self.verify(query, *files)
        print(f"{self.assert_no_row_twice()} rows, no row twice")

    def test_kafka_killed_and_restarted(self):
        (producer,), _, query = self.fleet()
        with Load(self, producer) as load:
            self.kafka.kill()
            self.wait_for_readiness(producer, "kafka: impaired")
            status, headers, body = write(producer.url, wire.snappy(wire.series_v1(__name__="while_kafka_is_away")))
            self.assertEqual(status, 503, body)
            self.assertIn("Retry-After", headers)
            memory = producer.resident()
            hold(10)
            self.assertLess(producer.resident(), memory + (64 << 20))
            self.kafka.start()
            load.wait_for_more()
        self.reckon(query, load.file)

    def test_redis_killed_flushed_and_frozen(self):
        (producer,), _, query = self.fleet()
        with Load(self, producer) as load:
            self.redis.command("flushall")
            load.wait_for_more()
            self.redis.freeze()
            load.wait_for_more()
            self.wait_for_readiness(producer, "redis: impaired")
            self.redis.thaw()
            wait_for(lambda: "redis" not in self.readiness(producer)[1], what="Redis to be well")
            self.redis.kill()
            load.wait_for_more()
            self.wait_for_readiness(producer, "redis: impaired")
            self.assertEqual(self.readiness(producer)[0], 200)
            self.redis.start()
            wait_for(lambda: "redis" not in self.readiness(producer)[1], what="Redis to be well")
            load.wait_for_more()
        self.reckon(query, load.file)

    def test_mariadb_killed_and_frozen(self):
        (producer,), (consumer,), query = self.fleet()
        with Load(self, producer) as load:
            self.mariadb.kill()
            wait_for(lambda: consumer.metric("store_up") == 0, what="the consumer to notice")
            load.wait_for_more()  # the stream keeps the series that arrive meanwhile
            self.assertEqual(request(f"{query.url}/api/v1/labels")[0], 200)
            self.mariadb.start()
            wait_for(lambda: consumer.metric("store_up") == 1, what="the consumer to go on")
            self.mariadb.freeze()
            hold(10)
            load.wait_for_more()
            self.mariadb.thaw()
        self.reckon(query, load.file)

    def test_stops_in_time_while_mariadb_is_frozen(self):
        (producer,) = [self.role("producer")]
        consumer, query = [self.role(role, app={"role_type": role, "shutdown_timeout": "8s"}) for role in ("consumer", "query")]
        with Load(self, producer) as load:
            self.mariadb.freeze()
            load.wait_for_more()
            for role in (consumer, query):
                self.assertEqual(role.stop(), 0, role.output())
            self.assertIn("read again", consumer.output())
            self.mariadb.thaw()
            self.role("consumer")
            query = self.role("query")
            load.wait_for_more()
        self.reckon(query, load.file)

    def test_connections_to_mariadb_are_cut(self):
        (producer,), (consumer,), query = self.fleet()
        with Load(self, producer) as load:
            for _ in range(10):
                before = consumer.metric("index_series_total", result="inserted")
                for (connection,) in self.mariadb.sql("SELECT id FROM information_schema.processlist WHERE db = "
                                                      f"'{self.database}'"):
                    self.mariadb.cut(connection)
                wait_for(lambda before=before: consumer.metric("index_series_total", result="inserted") > before, what="the index")
        self.reckon(query, load.file)

    def test_producers_killed_again_and_again(self):
        (producer,), _, query = self.fleet()
        files = []
        for turn in range(5):
            with Load(self, producer, seed=turn) as load:
                files.append(load.file)
                port = producer.port
                producer.kill()
                producer = self.role("producer", name=f"again-{turn}", port=port)
                load.producer = producer
                load.wait_for_more()
        self.reckon(query, *files)

    def test_consumers_killed_and_started_alternately(self):
        (producer,), consumers, query = self.fleet(consumers=2)
        with Load(self, producer) as load:
            for turn in range(6):
                which = turn % 2
                consumers[which].kill() if turn % 3 else consumers[which].stop()
                consumers[which] = self.role("consumer", name=f"again-{turn}")
                before = query.metric("catalog_series")
                wait_for(lambda before=before: query.metric("catalog_series") > before, what="the catalogue to grow")
        self.reckon(query, load.file)

    def back_up(self):
        """Copies the tables into another database. Returns a function that restores them."""
        tables = [row[0] for row in self.mariadb.sql("SHOW FULL TABLES WHERE table_type = 'BASE TABLE'", self.database)]
        backup = self.database + "-backup"
        self.mariadb.sql(f"CREATE DATABASE `{backup}`" + "".join(
            f";CREATE TABLE `{backup}`.`{table}` LIKE `{self.database}`.`{table}`;"
            f"INSERT INTO `{backup}`.`{table}` SELECT * FROM `{self.database}`.`{table}`" for table in tables))
        return lambda: self.mariadb.sql("START TRANSACTION" + "".join(
            f";DELETE FROM `{self.database}`.`{table}`;"
            f"INSERT INTO `{self.database}`.`{table}` SELECT * FROM `{backup}`.`{table}`" for table in tables) + ";COMMIT")

    def assert_ends_with_1(self, role, timeout=60):
        """A fatal condition: one line in the log, exit code 1."""
        self.assertEqual(role.popen.wait(timeout), 1, role.output()[-2000:])
        fatal = [line for line in role.output().splitlines() if "fatal, the process ends and must be restarted" in line]
        self.assertEqual(len(fatal), 1, role.output()[-2000:])

    def test_yesterdays_backup_of_the_database_is_caught_up_from_the_topic(self):
        (producer,), (consumer,), query = self.fleet()
        first = self.send(producer, seed=1)
        self.verify(query, first)
        restore = self.back_up()
        in_backup = self.rows()[0]
        second = self.send(producer, seed=2)
        self.verify(query, first, second)
        total = self.rows()[0]
        self.assertGreater(total, in_backup)
        consumer.stop()
        query.stop()
        restore()
        # Mixed with the second set in the topic, so that its series are given ids that others had before.
        third = self.send(producer, seed=3)
        self.assertEqual(self.rows()[0], in_backup)
        self.role("consumer")
        query = self.role("query")
        wait_for(lambda: self.rows()[0] == total + (total - in_backup), 120, "the database to be caught up")
        self.reckon(query, first, second, third)
        wait_for(lambda: query.metric("catalog_series") == self.rows()[0], what="the catalogue to hold each row once, and no other")

    def test_a_database_that_is_rolled_back_under_the_processes_ends_them_and_a_restart_serves_everything(self):
        (producer,), (consumer,), query = self.fleet()
        first = self.send(producer, seed=1)
        self.verify(query, first)
        restore = self.back_up()
        second = self.send(producer, seed=2)
        self.verify(query, first, second)
        restore()
        third = self.send(producer, seed=3)
        for role in (consumer, query):
            self.assert_ends_with_1(role)
        self.role("consumer", name="consumer-again")
        query = self.role("query", name="query-again")
        self.reckon(query, first, second, third)
        wait_for(lambda: query.metric("catalog_series") == self.rows()[0], what="the catalogue to hold each row once, and no other")

    def test_a_database_that_is_made_anew_under_the_processes_ends_them_and_a_restart_serves_everything(self):
        (producer,), (consumer,), query = self.fleet()
        first = self.send(producer, seed=1)
        self.verify(query, first)
        self.mariadb.sql(f"DROP DATABASE `{self.database}`")
        self.role("query", name="other-query").stop()  # makes the tables, under another uuid
        second = self.send(producer, seed=2)
        for role in (consumer, query):
            self.assert_ends_with_1(role)
        self.role("consumer", name="consumer-again")
        query = self.role("query", name="query-again")
        self.reckon(query, first, second)

    def test_poison_goes_to_the_dead_letters_and_the_partition_goes_on(self):
        poison = ['{"labels":', '{"labels":[]}', '{"labels":[{"name":"a","value":"\\u0000"}]} trailing', "x" * 900_000, "[]", "7"]
        (producer,), _, query = self.fleet()  # the producer creates the topic
        self.kafka.produce(self.topic, [(f"poison-{n}", text) for n, text in enumerate(poison)])
        file = self.send(producer)
        self.reckon(query, file)
        wait_for(lambda: self.kafka.count(f"{self.topic}-dead-letter") == len(poison), what="the dead letters")
        for letter in self.kafka.records(f"{self.topic}-dead-letter"):
            self.assertTrue(any("reason" in name for name in letter["headers"][::2]), letter["headers"])

    def test_every_part_restarted_in_any_order_under_load(self):
        producers, consumers, query = self.fleet(producers=2, consumers=2)
        loads = [Load(self, producer, seed=n) for n, producer in enumerate(producers)]
        for load in loads:
            load.wait_for_more()
        self.redis.stop()
        self.redis.start()
        consumers[0].stop()
        self.kafka.stop()
        self.mariadb.stop()
        self.kafka.start()
        consumers[0] = self.role("consumer", name="again", wait=False)  # there is no database yet
        self.mariadb.start()
        query.stop()
        query = self.role("query", name="query-again")
        consumers[1].kill()
        for load in loads:
            load.wait_for_more()
            load.process.stop()
        self.reckon(query, *[load.file for load in loads])


if __name__ == "__main__":
    support.main()
