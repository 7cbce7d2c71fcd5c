#include "app/replay.h"

#include <algorithm>
#include <cstdio>
#include <memory>
#include <vector>

#include "app/nobody.h"
#include "app/role_options.h"
#include "base/clock.h"
#include "base/format.h"
#include "base/stop_signal.h"
#include "index/worker.h"
#include "store/mysql_catalog.h"
#include "stream/kafka_replay.h"
#include "telemetry/metrics.h"

namespace mi::app {
namespace {

constexpr auto kShowInterval = std::chrono::seconds(1);
// For as long a database or broker may be away; a consumer would wait for ever, a person wants to know.
constexpr auto kPatience = std::chrono::seconds(60);

// The partitions of one worker, into a store of its own.
struct Lane {
  std::unique_ptr<stream::KafkaReplay> replay;
  std::unique_ptr<store::SeriesStore> store;
  std::unique_ptr<index::Worker> worker;

  bool read_all() const { return replay->finished() && replay->CurrentLag().records == 0; }
};

class Replayer {
 public:
  Replayer(const config::Config& config, telemetry::Logger& log)
      : config_(config), log_(log), catalog_(store::MysqlCatalog::Create(MysqlOptionsOf(config), log, *metrics_)) {}

  Status Open(std::optional<int64_t> from_ms);
  Status Run();

 private:
  Status WaitForEnd();
  void Show() const;

  const config::Config& config_;
  telemetry::Logger& log_;
  const SystemClock clock_;
  const std::unique_ptr<telemetry::Metrics> metrics_ = telemetry::Metrics::Create();
  const std::shared_ptr<index::LagProbe> lag_ = index::LagProbe::Create(clock_, *metrics_);
  const std::unique_ptr<store::MysqlCatalog> catalog_;
  Nobody nobody_;
  std::vector<Lane> lanes_;
  std::chrono::steady_clock::time_point begun_;
};

Status Replayer::Open(std::optional<int64_t> from_ms) {
  if (const Status prepared = catalog_->Prepare(); !prepared) return prepared;
  const config::ConsumerOptions& consumer = config_.metric_store.consumer;
  stream::KafkaReplayOptions options{
      .kafka = KafkaConsumerOptionsOf(config_).kafka, .topics = consumer.topics, .from_ms = from_ms};
  options.lanes = static_cast<unsigned>(consumer.work_num);
  for (options.lane = 0; options.lane < options.lanes; ++options.lane) {
    auto replay = stream::KafkaReplay::Create(options, {clock_, log_, *metrics_});
    if (!replay) return Fail(replay.error());
    Lane& lane = lanes_.emplace_back(Lane{*std::move(replay), catalog_->OpenStore(), nullptr});
    lane.worker = std::make_unique<index::Worker>(
        index::WorkerOptions{},
        index::WorkerDeps{*lane.replay, *lane.store, nobody_, nullptr, clock_, log_, *metrics_, *lag_});
    if (const Status sought = lane.worker->Seek(); !sought) return sought;
  }
  return {};
}

Status Replayer::Run() {
  begun_ = clock_.Steady();
  for (Lane& lane : lanes_) lane.worker->Start();
  Status ended = WaitForEnd();
  for (Lane& lane : lanes_) {
    lane.worker->Stop();
    // What was polled last may have failed just now: its position is then not stored either.
    if (const Status applied = lane.worker->Health(); ended && !applied) ended = applied;
  }
  Show();
  std::fputc('\n', stderr);
  return ended;
}

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
  stream::KafkaReplay::Progress all;
  for (const Lane& lane : lanes_) {
    const auto progress = lane.replay->progress();
    all.read += progress.read;
    all.total += progress.total;
  }
  const std::chrono::duration<double> took = clock_.Steady() - begun_;
  std::fputs(format("\rreplay: {} of {} records read ({:.0f} %), {:.0f}/s  ", all.read, all.total,
                    all.total == 0 ? 100.0 : 100.0 * static_cast<double>(all.read) / static_cast<double>(all.total),
                    static_cast<double>(all.read) / std::max(took.count(), 0.001))
                 .c_str(),
             stderr);
}

}  // namespace

Status Replay(const config::Config& config, std::optional<int64_t> from_ms, telemetry::Logger& log) {
  Replayer replayer(config, log);
  if (const Status opened = replayer.Open(from_ms); !opened) return opened;
  return replayer.Run();
}

}  // namespace mi::app
