#include "app/database.h"

#include <chrono>
#include <utility>

#include "app/role_options.h"

namespace mi::app {
namespace {

constexpr auto kPrepareInterval = std::chrono::seconds(2);
constexpr auto kLookInterval = std::chrono::seconds(5);

}  // namespace

Database::Database(const config::Config& config, Need need, telemetry::Health& health, const store::MysqlDeps& deps)
    : catalog_(MysqlOptionsOf(config), deps), health_("mysql", need, health, deps.log) {}

void Database::Start(std::function<void()> on_prepared) {
  on_prepared_ = std::move(on_prepared);
  thread_ = std::thread([this] { Run(); });
}

void Database::Stop() {
  RequestStop();
  if (thread_.joinable()) thread_.join();
}

void Database::Run() {
  for (Status prepared = catalog_.Prepare(); !prepared; prepared = catalog_.Prepare()) {
    health_.Report(prepared);
    if (!stop_.WaitFor(kPrepareInterval)) return;
  }
  health_.Report({});
  on_prepared_();
  while (stop_.WaitFor(kLookInterval)) health_.Report(catalog_.Health());
}

}  // namespace mi::app
