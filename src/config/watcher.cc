#include "config/watcher.h"

#include <atomic>
#include <chrono>
#include <optional>
#include <system_error>
#include <utility>

#include "base/format.h"
#include "config/changes.h"
#include "config/directory_watch.h"
#include "config/draft.h"
#include "config/load_text.h"
#include "config/text_file.h"
#include "config/yaml_tree.h"

namespace mi::config {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kQuiet{100};          // a file that did not change for this long is written to its end
constexpr int kMostQuietWaits = 20;          // one that never rests is read nevertheless
constexpr milliseconds kLookAgain{10'000};   // where inotify sees nothing: network file systems, links to links
constexpr milliseconds kLookAgainSoon{500};  // the directory itself is away

std::string Joined(const std::vector<std::string>& keys) {
  std::string text;
  for (const auto& key : keys) {
    if (!text.empty()) text += ", ";
    text += key;
  }
  return text;
}

class FileWatcher final : public Watcher {
 public:
  FileWatcher(Loaded started, Sources sources, Callbacks callbacks, std::unique_ptr<DirectoryWatch> watch)
      : started_(std::make_shared<const Config>(std::move(started.config))),
        sources_(std::move(sources)),
        callbacks_(std::move(callbacks)),
        watch_(std::move(watch)),
        current_(started_) {}

  ~FileWatcher() override {
    stopping_ = true;
    watch_->Wake();
    if (thread_.joinable()) thread_.join();
  }

  Status Start() {
    try {
      thread_ = std::thread([this] { Run(); });
    } catch (const std::system_error& error) {
      return Fail(Errc::kUnavailable, mi::format("cannot watch the configuration: no thread: {}", error.what()));
    }
    return {};
  }

  void Reload() override {
    asked_ = true;
    watch_->Wake();
  }

  std::shared_ptr<const Config> Current() const override EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    return current_;
  }

 private:
  // Armed first and looked at afterwards, so that no change falls between.
  void Run() {
    bool first = true;
    FileState seen;
    while (!stopping_) {
      const bool armed = watch_->Arm();
      const bool asked = asked_.exchange(false);
      if (sources_.file && (first || FileState::Of(*sources_.file) != seen)) {
        seen = WaitUntilQuiet();
        if (stopping_) return;
        Attempt(asked ? Why::kAsked : first ? Why::kStart : Why::kChanged);
      } else if (asked) {
        Attempt(Why::kAsked);
      }
      first = false;
      if (!asked_) watch_->Wait(armed ? kLookAgain : kLookAgainSoon);
    }
  }

  // The file as it was when it had come to rest.
  FileState WaitUntilQuiet() {
    FileState state = FileState::Of(*sources_.file);
    for (int i = 0; i < kMostQuietWaits && !stopping_; ++i) {
      const auto event = watch_->Wait(kQuiet);
      const FileState now = FileState::Of(*sources_.file);
      if (event != DirectoryWatch::Event::kFile && now == state) break;
      state = now;
    }
    return state;
  }

  enum class Why { kStart, kChanged, kAsked };

  void Attempt(Why why) {
    if (!sources_.file) return Report({.status = Fail(Errc::kInvalid, "there is no configuration file")});
    auto text = ReadSmallFile(*sources_.file, kMaxFileBytes);
    const bool same = text && text_ == *text;
    text_ = text ? std::optional(*text) : std::nullopt;
    if (same && why == Why::kChanged) return;  // only touched
    auto loaded = text ? LoadWhole(*text) : Result<Loaded>(Fail(text.error()));
    if (!loaded) return Report({.status = Fail(loaded.error())});

    Config next = KeepRestartOnly(*started_, loaded->config);
    if (auto fits = Check(next); !fits) return Report({.status = fits});
    ReloadReport report;
    report.changed = ChangedKeys(*Current(), next, config::Reload::kLive);
    report.restart_needed = ChangedKeys(*started_, loaded->config, config::Reload::kRestart);
    report.warnings = std::move(loaded->warnings);
    if (!report.changed.empty()) {
      if (const Status taken = Take(std::move(next)); !taken) {
        text_.reset();  // the same file again is news: what was in its way may be gone
        return Report({.status = taken});
      }
    }
    // What Load gave at the start need not be told again.
    const bool news = !report.changed.empty() || !report.restart_needed.empty();
    if (why != Why::kStart || news) Report(report);
  }

  // An empty file is legal, but here it is one that somebody has just begun to write.
  Result<Loaded> LoadWhole(std::string_view text) const {
    const YamlTree tree = ParseYaml(text);
    if (tree.whole && tree.root.children.empty()) {
      return Fail(Errc::kInvalid, mi::format("{}: holds no keys", *sources_.file));
    }
    return LoadWithText(sources_, text);
  }

  // What is new may not go together with what needs a restart to change.
  static Status Check(const Config& next) {
    Draft draft;
    draft.config = next;
    CheckRelations(draft);
    if (draft.ok()) return {};
    return Fail(draft.Faults().Within("with what needs a restart as it was at the start"));
  }

  Status Take(Config next) EXCLUDES(mutex_) {
    auto taken = std::make_shared<const Config>(std::move(next));
    if (callbacks_.on_change) {
      if (Status outcome = callbacks_.on_change(taken); !outcome) return outcome;
    }
    MutexLock lock(mutex_);
    current_ = std::move(taken);
    return {};
  }

  void Report(const ReloadReport& report) const {
    if (callbacks_.on_report) callbacks_.on_report(report);
  }

  const std::shared_ptr<const Config> started_;
  const Sources sources_;
  const Callbacks callbacks_;
  const std::unique_ptr<DirectoryWatch> watch_;
  std::atomic<bool> stopping_ = false;
  std::atomic<bool> asked_ = false;
  std::optional<std::string> text_;  // what was read last; the thread's own

  mutable Mutex mutex_;
  std::shared_ptr<const Config> current_ GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace

std::string ReloadReport::Describe() const {
  if (!status) {
    std::string reason = status.error().message();
    for (size_t at = reason.find('\n'); at != std::string::npos; at = reason.find('\n', at))
      reason.replace(at, 1, "; ");
    return "configuration not reloaded, the running one stays: " + reason;
  }
  std::string text = "configuration reloaded: " + (changed.empty() ? std::string("nothing changed") : Joined(changed));
  if (!restart_needed.empty()) text += "; restart needed for: " + Joined(restart_needed);
  return text;
}

Result<std::unique_ptr<Watcher>> Watcher::Create(Loaded started, Sources sources, Callbacks callbacks) {
  sources.file = started.file;
  auto watch = DirectoryWatch::Create(sources.file.value_or(""));
  if (!watch) return Fail(watch.error());
  auto watcher =
      std::make_unique<FileWatcher>(std::move(started), std::move(sources), std::move(callbacks), std::move(*watch));
  if (auto running = watcher->Start(); !running) return Fail(running.error());
  return watcher;
}

}  // namespace mi::config
