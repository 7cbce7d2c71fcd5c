// What the benchmarks of both stores write: the same series, so that their figures can be compared.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/format.h"
#include "model/labels.h"
#include "model/series_batch.h"

namespace mi::store {

inline constexpr size_t kBenchLabels = 12;

// `count` series of kBenchLabels labels, shaped like Kubernetes traffic, from number `first` on: 100 series a pod.
inline model::SeriesBatch MakePodSeries(size_t first, size_t count, int64_t seen_at_ms = 1'700'000'000'000) {
  model::SeriesBatch batch(model::Tenant(), seen_at_ms);
  const model::Fingerprinter fingerprint("", batch.tenant());
  for (size_t i = first; i < first + count; ++i) {
    const size_t pod = i / 100;
    const std::pair<std::string_view, std::string> pairs[kBenchLabels] = {
        {"__name__", format("container_metric_{}_total", i % 100)},
        {"cluster", "eu-west-1"},
        {"container", "main"},
        {"env", "prod"},
        {"id", format("/kubepods/burstable/pod{:016x}", pod * 0x9e3779b97f4a7c15U)},
        {"image", format("registry.example.org/shop/checkout:v1.{}", pod / 100)},
        {"instance", format("10.{}.{}.7:10250", pod / 256 % 256, pod % 256)},
        {"job", "kubelet"},
        {"namespace", format("team-{}", pod / 10 % 50)},
        {"node", format("ip-10-{}.eu-west-1.compute.internal", pod % 256)},
        {"pod", format("checkout-{:x}-{:x}", pod * 2654435761U % 0xffffffU, pod)},
        {"service", "kubelet"}};
    std::vector<model::Label> labels;
    for (const auto& [name, value] : pairs) labels.push_back({name, value});
    const model::Labels canonical = model::Labels::FromUnsorted(labels).value();
    batch.Add(fingerprint(canonical.canonical()), canonical.canonical());
  }
  return batch;
}

}  // namespace mi::store
