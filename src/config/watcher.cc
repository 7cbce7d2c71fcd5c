#include "config/watcher.h"

#include <type_traits>
#include <utility>

#include "base/format.h"
#include "config/draft.h"
#include "config/relations.h"
#include "config/rows.h"
#include "config/text_file.h"
#include "config/yaml_tree.h"

namespace mi::config {
namespace {

constexpr int kMaxLooksWhileChanging = 20;  // a file that changes between all of them is read nevertheless

bool IsInList(const Row& row) { return row.path.contains("[]"); }

// Keys whose values differ, among the rows that are `reload`. A list of sections counts as one key ("remote.write").
std::vector<std::string> ChangedKeys(const Config& before, const Config& after, Reload reload) {
  Config a = before;  // members are reached through non-const pointers
  Config b = after;
  std::vector<std::string> changed;
  for (const Row& row : Rows()) {
    if (row.reload != reload || IsInList(row)) continue;
    const Member other = row.member(b, 0);
    const bool same =
        std::visit([&](auto* value) { return *value == *std::get<decltype(value)>(other); }, row.member(a, 0));
    if (!same) changed.emplace_back(row.path);
  }
  if (reload == Reload::kLive && a.remote_write != b.remote_write) changed.emplace_back("remote.write");
  return changed;
}

// `loaded`, with the options that need a restart as they are in `running`. It copies member by member through the rows,
// so an option that is added needs no code here.
Config KeepRestartOptions(const Config& running, Config loaded) {
  Config from = running;
  for (const Row& row : Rows()) {
    if (row.reload != Reload::kRestart || IsInList(row)) continue;
    const Member source = row.member(from, 0);
    std::visit([&](auto* value) { *value = *std::get<decltype(value)>(source); }, row.member(loaded, 0));
  }
  return loaded;
}

// The new values may not be legal together with those that need a restart.
Status CheckTogether(const Config& config) {
  Draft draft;
  draft.config = config;
  CheckRelations(draft);
  if (draft.ok()) return {};
  return Fail(draft.Faults().Within("with what needs a restart as it was at the start"));
}

std::string Joined(const std::vector<std::string>& keys) {
  std::string text;
  for (const auto& key : keys) {
    if (!text.empty()) text += ", ";
    text += key;
  }
  return text;
}

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

Watcher::Watcher(Loaded started, Sources sources, Callbacks callbacks, std::chrono::milliseconds poll_interval)
    : started_(std::make_shared<const Config>(std::move(started.config))),
      sources_{.file = std::move(started.file),
               .environment = std::move(sources.environment),
               .command_line = std::move(sources.command_line),
               .folder = std::move(sources.folder)},
      callbacks_(std::move(callbacks)),
      current_(started_),
      poll_(poll_interval, [this] { Look(); }) {}

void Watcher::Reload() {
  asked_ = true;
  poll_.RunSoon();
}

std::shared_ptr<const Config> Watcher::Current() const {
  MutexLock lock(mutex_);
  return current_;
}

// A file that is being written looks different at each look, and half of it may be legal YAML without the options of
// the other half. So a change is acted on only when two looks in a row find the same state:
//
//     look:      1    2    3    4    5
//     state:     A    B    C    C    C
//                     |    |    attempt (C was stable since look 3)
//                     wait wait
//
// The first attempt comes after the start even without a change: the file may have changed since Load read it.
void Watcher::Look() {
  const bool asked = asked_.exchange(false);
  const FileState now = sources_.file ? FileState::Of(*sources_.file) : FileState();
  const bool stable = std::exchange(last_look_, now) == now || ++looks_while_changing_ >= kMaxLooksWhileChanging;
  const bool changed = sources_.file && attempted_ != now;
  if (!asked && (!changed || !stable)) return;
  const Why why = asked ? Why::kAsked : attempted_ ? Why::kChanged : Why::kStart;
  looks_while_changing_ = 0;
  attempted_ = now;
  Attempt(why);
}

// A reload happens as a whole or not at all. The new file is parsed and checked, then its live options are combined
// with the restart options of the start, and this combination is checked too, because it is what would run. Only then
// is it offered to the parts of the process; if one of them refuses, current_ stays. text_ remembers the last attempt,
// so a file that was only touched is not reported again.
void Watcher::Attempt(Why why) {
  if (!sources_.file) return Report({.status = Fail(Errc::kInvalid, "there is no configuration file")});
  auto text = ReadSmallFile(*sources_.file, kMaxFileBytes);
  const bool same_text = text && text_ == *text;
  text_ = text ? std::optional(*text) : std::nullopt;
  if (same_text && why == Why::kChanged) return;  // the file was only touched
  auto loaded = text ? LoadFile(*text) : Result<Loaded>(Fail(text.error()));
  if (!loaded) return Report({.status = Fail(loaded.error())});

  Config next = KeepRestartOptions(*started_, loaded->config);
  if (auto legal = CheckTogether(next); !legal) return Report({.status = legal});
  ReloadReport report;
  report.changed = ChangedKeys(*Current(), next, Reload::kLive);
  report.restart_needed = ChangedKeys(*started_, loaded->config, Reload::kRestart);
  report.warnings = std::move(loaded->warnings);
  if (!report.changed.empty()) {
    if (const Status taken = Take(std::move(next)); !taken) {
      text_.reset();  // the same text may be taken later: its obstacle may be gone
      return Report({.status = taken});
    }
  }
  // The start has reported the warnings of an unchanged file already.
  const bool news = !report.changed.empty() || !report.restart_needed.empty();
  if (why != Why::kStart || news) Report(report);
}

// An empty file is legal at the start, but here somebody has probably just begun to write it.
Result<Loaded> Watcher::LoadFile(std::string_view text) const {
  const YamlTree tree = ParseYaml(text);
  if (tree.whole && tree.root.children.empty()) {
    return Fail(Errc::kInvalid, mi::format("{}: holds no keys", *sources_.file));
  }
  return LoadWithText(sources_, text);
}

Status Watcher::Take(Config next) {
  auto taken = std::make_shared<const Config>(std::move(next));
  if (callbacks_.on_change) TRY(callbacks_.on_change(taken));
  MutexLock lock(mutex_);
  current_ = std::move(taken);
  return {};
}

void Watcher::Report(const ReloadReport& report) const {
  if (callbacks_.on_report) callbacks_.on_report(report);
}

}  // namespace mi::config
