// Publishes new series to Kafka, a record each, so that the compacted topic is the catalogue (docs/formats/kafka.md).
//
// An idempotent producer with acks=all. A batch is answered when all of its records are acknowledged or given up
// (librdkafka.message.timeout.ms, 10 s). While no broker answers, or the topic cannot be written, Publish fails at once
// instead of queueing; a thread of its own asks the brokers each second, makes the topic where it is missing and that
// is allowed (compacted; one that exists is left as it is), and starts over after an error that ends a producer for
// good.
//
// Threads: safe; `done` is called from that thread, or from within Publish when nothing was taken. It must be quick.
// Errors: kOverloaded: the queue is full (librdkafka.queue.buffering.max.kbytes, .messages), for what it did not take.
//         kUnavailable: the brokers are away, gave no answer in time, or refuse us; the text says which and names the
//         knob. kTooLarge: this record does not fit into the topic. A topic that takes less at once than we send, and
//         whose settings we may not read, is tried with half of it, again and again: kUnavailable meanwhile.
// Memory: that queue, of which librdkafka counts keys and values but not its 200 bytes or so a record; the batches that
//         are under way, which their `done` holds, and 16 bytes a record of them. While a producer is replaced, both
//         have a queue.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>

#include "base/result.h"
#include "stream/kafka.h"
#include "stream/ports.h"

namespace mi::stream {

struct KafkaPublisherOptions {
  KafkaOptions kafka;
  std::string topic = "metric-index";               // metric_store.producer.topic
  std::chrono::seconds activity_interval{3'600};    // catalog.activity_interval: written into activity records
  std::chrono::milliseconds activity_delay{1'000};  // hints are gathered for so long
  size_t max_activity_fingerprints = 1'000'000;     // gathered or under way; above, hints are dropped and counted
  std::chrono::milliseconds probe_interval{1'000};  // how often brokers that are away are asked
  std::chrono::milliseconds stop_timeout{5'000};    // how long Stop() waits for acknowledgements
  std::chrono::milliseconds admin_timeout{5'000};   // for making topics and reading their settings
  int new_topic_partitions = -1;                    // -1: as the broker does by default
};

class KafkaPublisher : public SeriesPublisher, public ActivityPublisher {
 public:
  // Connects in the background: Health() says when. kInvalid: an option that librdkafka does not take.
  static Result<std::unique_ptr<KafkaPublisher>> Create(const KafkaPublisherOptions& options, const KafkaDeps& deps);

  // Waits until everything published so far is answered, activity included; false when the time was up before.
  virtual bool Flush(std::chrono::milliseconds timeout) = 0;
  // Takes no more, gives what is under way stop_timeout, then fails it. All is answered when this returns. The
  // destructor does it too.
  virtual void Stop() = 0;
};

}  // namespace mi::stream
