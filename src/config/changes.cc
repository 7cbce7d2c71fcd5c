#include "config/changes.h"

#include <type_traits>

namespace mi::config {
namespace {

bool SameValue(const Slot& a, const Slot& b) {
  return std::visit(
      [&](auto* value) {
        auto* const* other = std::get_if<std::decay_t<decltype(value)>>(&b);
        return other != nullptr && *value == **other;
      },
      a);
}

void CopyValue(const Slot& from, const Slot& to) {
  std::visit(
      [&](auto* value) {
        if (auto* const* target = std::get_if<std::decay_t<decltype(value)>>(&to)) **target = *value;
      },
      from);
}

bool StandsInList(const Row& row) { return row.path.contains("[]"); }

}  // namespace

std::vector<std::string> ChangedKeys(const Config& before, const Config& after, Reload reload) {
  Config a = before;  // slots are not const
  Config b = after;
  std::vector<std::string> changed;
  for (const Row& row : Rows()) {
    if (row.reload != reload || StandsInList(row)) continue;
    if (!SameValue(row.slot(a, 0), row.slot(b, 0))) changed.emplace_back(row.path);
  }
  if (reload == Reload::kLive && a.remote.write != b.remote.write) changed.emplace_back("remote.write");
  return changed;
}

Config KeepRestartOnly(const Config& running, Config loaded) {
  Config from = running;
  for (const Row& row : Rows()) {
    if (row.reload == Reload::kRestart && !StandsInList(row)) CopyValue(row.slot(from, 0), row.slot(loaded, 0));
  }
  return loaded;
}

}  // namespace mi::config
