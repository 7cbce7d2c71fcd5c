#include <algorithm>
#include <cstdio>
#include <memory>
#include <vector>

#include "app/commands.h"
#include "app/process.h"
#include "app/role_options.h"
#include "base/clock.h"
#include "base/format.h"
#include "base/stop_signal.h"
#include "index/worker.h"
#include "store/mysql/catalog.h"
#include "stream/kafka/replay.h"
#include "telemetry/log.h"
#include "telemetry/metrics.h"
#include "web/parameters.h"

namespace mi::app {
namespace {

constexpr auto kShowInterval = std::chrono::seconds(1);
// How long a database or broker may be away. A consumer would wait for ever, but here a person waits for an answer.
constexpr auto kPatience = std::chrono::seconds(60);

// One worker with its share of the partitions and a store of its own.
struct Lane {
  std::unique_ptr<stream::KafkaReplay> replay;
  std::unique_ptr<store::SeriesStore> store;
  std::unique_ptr<index::Worker> worker;

  bool read_all() const { return replay->finished() && replay->CurrentLag().records == 0; }
};

// Reads metric_store.consumer.topics up to the end that they have at the start, with metric_store.consumer.work_num
// workers that share the partitions. Positions are stored, so the consumer group continues from there. Repeating it
// changes nothing. Run it while no consumer runs.
class Replayer {
 public:
  Replayer(const config::Config& config, telemetry::Logger& log)
      : config_(config), log_(log), catalog_(MysqlOptionsOf(config), {log, *metrics_, ExitOnFatal(log)}) {}

  // Prepares the database and opens the lanes. `from_ms`: only records of this time and later; nothing: all records.
  Status Open(std::optional<int64_t> from_ms);
  // Returns the first error that repetition would not change. Shows the progress on stderr.
  Status Run();

 private:
  Status WaitForEnd();
  void Show() const;

  const config::Config& config_;
  telemetry::Logger& log_;
  const SystemClock clock_;
  const std::unique_ptr<telemetry::Metrics> metrics_ = telemetry::Metrics::Create();
  store::MysqlCatalog catalog_;
  std::vector<Lane> lanes_;
  std::chrono::steady_clock::time_point begun_;
};

Status Replayer::Open(std::optional<int64_t> from_ms) {
  TRY(catalog_.Prepare());
  stream::KafkaReplayOptions options{
      .kafka = KafkaConsumerOptionsOf(config_).kafka, .topics = config_.consumer.topics, .from_ms = from_ms};
  options.kafka.identity_secret = catalog_.identity_secret();
  options.lanes = static_cast<unsigned>(config_.app.work_num);
  for (options.lane = 0; options.lane < options.lanes; ++options.lane) {
    auto replay = TRY(stream::KafkaReplay::Create(options, {clock_, log_, *metrics_, ExitOnFatal(log_)}));
    Lane& lane = lanes_.emplace_back(Lane{std::move(replay), catalog_.OpenStore(), nullptr});
    lane.worker = std::make_unique<index::Worker>(
        index::WorkerOptions{},
        index::WorkerDeps{*lane.replay, *lane.store, nullptr, nullptr, clock_, log_, *metrics_, ExitOnFatal(log_)});
    TRY(lane.worker->Seek());
  }
  return {};
}

Status Replayer::Run() {
  begun_ = clock_.Steady();
  for (Lane& lane : lanes_) lane.worker->Start();
  Status ended = WaitForEnd();
  for (Lane& lane : lanes_) {
    lane.worker->Stop();
    // The last batch may have failed just now; then its position is not stored either.
    if (const Status applied = lane.worker->Health(); ended && !applied) ended = applied;
  }
  Show();
  std::fputc('\n', stderr);
  return ended;
}

// Ends when every lane has read its share and none of its records wait to be applied. Workers repeat a failed step for
// ever, so the bound is here: an error counts once it has lasted for kPatience without a moment in which all lanes were
// well.
Status Replayer::WaitForEnd() {
  StopSignal never;
  auto well_at = clock_.Steady();
  while (!std::ranges::all_of(lanes_, &Lane::read_all)) {
    never.WaitFor(kShowInterval);
    Show();
    const auto sick = std::ranges::find_if(lanes_, [](const Lane& lane) { return !lane.worker->Health(); });
    if (sick == lanes_.end()) {
      well_at = clock_.Steady();
    } else if (clock_.Steady() - well_at > kPatience) {
      return sick->worker->Health();
    }
  }
  return {};
}

void Replayer::Show() const {
  stream::KafkaReplay::Totals all;
  for (const Lane& lane : lanes_) {
    const auto totals = lane.replay->totals();
    all.read += totals.read;
    all.total += totals.total;
  }
  const std::chrono::duration<double> took = clock_.Steady() - begun_;
  std::fputs(format("\rreplay: {} of {} records read ({:.0f} %), {:.0f}/s  ", all.read, all.total,
                    all.total == 0 ? 100.0 : 100.0 * static_cast<double>(all.read) / static_cast<double>(all.total),
                    static_cast<double>(all.read) / std::max(took.count(), 0.001))
                 .c_str(),
             stderr);
}

}  // namespace

int ReplayTopic(const Command& command) {
  std::optional<int64_t> from_ms;
  if (command.replay_from != "beginning") {
    from_ms = web::ParseTime(command.replay_from);
    if (!from_ms) {
      return Complain(
          kExitBadConfiguration,
          format("--from {}: \"beginning\", or a time: RFC 3339 (2026-01-31T12:00:00Z) or seconds since the epoch",
                 command.replay_from));
    }
  }
  const Result<config::Loaded> loaded = config::Load(SourcesOf(command));
  if (!loaded) return Complain(kExitBadConfiguration, loaded.error().message());
  if (loaded->config.consumer.kafka.hosts.empty()) {
    return Complain(kExitBadConfiguration, "replay reads from Kafka: metric_store.consumer.hosts is empty");
  }
  // On the terminal, wherever the service would log to.
  const auto log = *telemetry::Log::Create({.level = "warn"});
  Replayer replayer(loaded->config, *log);
  Status done = replayer.Open(from_ms);
  if (done) done = replayer.Run();
  return done ? 0 : Complain(kExitFailed, done.error().message());
}

}  // namespace mi::app
