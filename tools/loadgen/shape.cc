#include "loadgen/shape.h"

#include <array>

#include "base/format.h"
#include "model/identity.h"

namespace mi::loadgen {
namespace {

constexpr std::array<std::string_view, 8> kSubjects = {"http_requests", "process_cpu", "node_disk",  "go_gc",
                                                       "grpc_server",   "container",   "kube_state", "rest_client"};
constexpr std::array<std::string_view, 6> kVerbs = {"handled", "received", "duration", "queue", "cache", "errors"};
constexpr std::array<std::string_view, 4> kUnits = {"seconds_total", "bytes", "total", "bucket"};
constexpr std::array<std::string_view, 5> kCodes = {"200", "204", "400", "404", "500"};
constexpr std::array<std::string_view, 4> kMethods = {"GET", "POST", "PUT", "DELETE"};

// A well-mixed number from two; what makes pods look like pods and stays the same for ever (splitmix64's finish).
uint64_t Mix(uint64_t a, uint64_t b) {
  uint64_t x = a * 0x9e3779b97f4a7c15 + b;
  x = (x ^ (x >> 30U)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27U)) * 0x94d049bb133111eb;
  return x ^ (x >> 31U);
}

constexpr uint64_t kNames = kSubjects.size() * kVerbs.size() * kUnits.size();

std::string MetricName(uint64_t n) {
  return format("{}_{}_{}", kSubjects[n % kSubjects.size()], kVerbs[n / kSubjects.size() % kVerbs.size()],
                kUnits[n / (kSubjects.size() * kVerbs.size()) % kUnits.size()]);
}

LabelPairs Node(uint64_t seed, uint64_t number) {
  const uint64_t instance = number / kNames;
  return {{"__name__", MetricName(number % kNames)},
          {"cluster", format("c{}", seed)},
          {"device", format("disk{}", number % 7)},
          {"instance", format("10.{}.{}.{}:9100", instance / 65536, instance / 256 % 256, instance % 256)},
          {"job", "node"},
          {"mode", std::string(kMethods[number % kMethods.size()])}};
}

LabelPairs Kubernetes(uint64_t seed, uint64_t number) {
  const uint64_t pod = number / kNames;
  const uint64_t app = pod / 20;
  const uint64_t hash = Mix(seed, pod);
  return {{"__name__", MetricName(number % kNames)},
          {"cluster", format("production-europe-west4-{}", seed)},
          {"code", std::string(kCodes[number % kCodes.size()])},
          {"container", format("service-{:04}-container", app)},
          {"endpoint", "https-metrics-main"},
          {"id", format("/kubepods.slice/kubepods-burstable.slice/pod{:016x}/{:016x}", hash, Mix(hash, 1))},
          {"instance", format("10.{}.{}.{}:8443", pod / 65536, pod / 256 % 256, pod % 256)},
          {"job", format("service-{:04}-monitoring", app)},
          {"method", std::string(kMethods[number % kMethods.size()])},
          {"namespace", format("team-{:02}-production", app % 40)},
          {"node", format("ip-10-{}-{}.eu-west-4.compute.internal", app % 64, pod % 200)},
          {"pod", format("service-{:04}-{:08x}-{:05x}", app, hash >> 32U, hash & 0xfffffU)}};
}

}  // namespace

Result<Shape> ParseShape(std::string_view text) {
  if (text == "node") return Shape::kNode;
  if (text == "kubernetes") return Shape::kKubernetes;
  return Fail(Errc::kInvalid, format("--shape {} is neither node nor kubernetes", text));
}

LabelPairs LabelsOf(Shape shape, uint64_t seed, uint64_t number) {
  return shape == Shape::kNode ? Node(seed, number) : Kubernetes(seed, number);
}

std::string IdentityOf(Shape shape, uint64_t seed, uint64_t number) {
  std::string canonical;
  for (const auto& [name, value] : LabelsOf(shape, seed, number)) model::AppendCanonical({name, value}, canonical);
  return model::FormatIdentity(model::LabelsView(canonical));
}

}  // namespace mi::loadgen
