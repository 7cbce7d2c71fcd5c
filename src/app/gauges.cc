#include "app/gauges.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>

namespace mi::app {
namespace {

// With more tenants catalog_series would have too many series itself. Smaller tenants are summed up.
constexpr size_t kMaxTenantsShown = 100;
constexpr std::string_view kCatalogSeries = "catalog_series";

}  // namespace

std::shared_ptr<void> ShowServer(net::Server& server, telemetry::Metrics& metrics) {
  auto& open = metrics.GetGauge("http_connections", "Connections that are open.");
  auto& bytes = metrics.GetGauge("http_buffered_bytes",
                                 "Memory of requests, queries and unread answers (receive.max_buffered_bytes).");
  auto& limit = metrics.GetGauge("http_max_buffered_bytes", "Its limit.");
  auto& rejected = metrics.GetGauge("http_rejected_connections", "Connections that were answered 503 and closed.");
  auto& handshakes = metrics.GetGauge("http_tls_handshakes", "TLS handshakes that succeeded.");
  auto& failures = metrics.GetGauge("http_tls_failures", "TLS handshakes that failed.");
  auto& given_up = metrics.GetGauge("http_given_up", "Slow requests, answers and connections that gave way to others.");
  return metrics.RefreshWhileHeld([&] {
    const net::Server::Stats stats = server.stats();
    open.Set(static_cast<double>(stats.open_connections));
    bytes.Set(static_cast<double>(stats.buffered_bytes));
    limit.Set(static_cast<double>(server.memory().limit()));
    rejected.Set(static_cast<double>(stats.rejected_connections));
    given_up.Set(static_cast<double>(stats.given_up));
    handshakes.Set(static_cast<double>(stats.tls_handshakes));
    failures.Set(static_cast<double>(stats.tls_failures));
  });
}

std::shared_ptr<void> ShowSeenTable(const dedupe::SeenSet& seen, telemetry::Metrics& metrics) {
  auto& entries = metrics.GetGauge("seen_entries", "Series that the local table knows to be durable.");
  auto& aliases = metrics.GetGauge("seen_alias_entries",
                                   "Encodings of known series that are recognised without their fingerprint.");
  auto& bytes = metrics.GetGauge("seen_bytes", "Memory of the local table.");
  auto& refused = metrics.GetGauge("seen_refused_inserts",
                                   "Series that the local table had no room for "
                                   "(metric_store.cache.max_series).");
  return metrics.RefreshWhileHeld([&] {
    const auto stats = seen.stats();
    entries.Set(static_cast<double>(stats.entries));
    aliases.Set(static_cast<double>(stats.alias_entries));
    bytes.Set(static_cast<double>(stats.bytes));
    refused.Set(static_cast<double>(stats.refused_inserts));
  });
}

// Shows the largest tenants by themselves and the rest as one sum. Which tenants are the largest changes, so each
// rendering removes the gauges of tenants that it no longer shows; otherwise their last values would stay for ever, and
// the number of gauges would grow with the number of tenants that were ever large.
std::shared_ptr<void> ShowCatalog(const catalog::Catalog& catalog, telemetry::Metrics& metrics) {
  auto& bytes = metrics.GetGauge("catalog_bytes", "Memory of the catalogue.");
  auto& damaged = metrics.GetGauge("catalog_damaged_rows",
                                   "Rows of the store that were damaged when they were loaded, and are not shown until "
                                   "their series are sent again.");
  auto shown = std::make_shared<std::set<std::string>>();
  return metrics.RefreshWhileHeld([&, shown] {
    const auto stats = catalog.stats();
    bytes.Set(static_cast<double>(stats.bytes));
    damaged.Set(static_cast<double>(stats.damaged));
    std::map<std::string, uint64_t> now;
    uint64_t other = stats.series;
    for (const auto& [tenant, series] : catalog.SeriesByTenant(kMaxTenantsShown)) {
      now.emplace(tenant, series);
      other -= std::min(other, series);
    }
    if (other > 0) now.emplace("all others", other);  // not a legal name of a tenant
    for (const auto& [tenant, series] : now) {
      metrics.GetGauge(kCatalogSeries, "Series in the catalogue.", {{"tenant", tenant}})
          .Set(static_cast<double>(series));
      shown->insert(tenant);
    }
    std::erase_if(*shown, [&](const std::string& tenant) {
      const bool gone = !now.contains(tenant);
      if (gone) metrics.RemoveGauge(kCatalogSeries, {{"tenant", tenant}});
      return gone;
    });
  });
}

std::shared_ptr<void> ShowIndexLag(const std::vector<const stream::SeriesConsumer*>& consumers, const Clock& clock,
                                   telemetry::Metrics& metrics) {
  auto& waiting = metrics.GetGauge("index_lag_records", "Series (journal) or records (Kafka) that wait to be indexed.");
  auto& seconds = metrics.GetGauge("index_lag_seconds", "Since the oldest of them was received, seconds.");
  return metrics.RefreshWhileHeld([&, consumers] {
    uint64_t records = 0;
    int64_t behind_ms = 0;
    for (const stream::SeriesConsumer* consumer : consumers) {
      const stream::SeriesConsumer::Lag lag = consumer->CurrentLag();
      records += lag.records;
      if (lag.records > 0) behind_ms = std::max(behind_ms, clock.NowMs() - lag.oldest_seen_at_ms);
    }
    waiting.Set(static_cast<double>(records));
    seconds.Set(static_cast<double>(behind_ms) / 1000);
  });
}

}  // namespace mi::app
