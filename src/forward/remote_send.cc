#include "forward/remote_send.h"

#include <atomic>
#include <utility>

#include "base/mutex.h"
#include "forward/passed_request.h"
#include "forward/target.h"

namespace mi::forward {
namespace {

class RemoteSendTarget final : public RemoteSend {
 public:
  explicit RemoteSendTarget(ForwardDeps deps) : deps_(deps) {}

  void Send(std::string points) override {
    const auto target = Current();
    if (target == nullptr) return;
    // OpenTSDB takes points in any order: every lane has its turn.
    target->Add(std::make_shared<const PassedRequest>(PassedRequest{.body = std::move(points), .sender = next_++}));
  }

  Status Reconfigure(const std::optional<TargetOptions>& options) override EXCLUDES(mutex_) {
    std::shared_ptr<Target> before = Current();
    if (options && before != nullptr && before->url() == options->url) {
      before->Reconfigure(*options);
      return {};
    }
    std::shared_ptr<Target> after;
    if (options) {
      auto created = Target::Create(*options, deps_);
      if (!created) return Fail(created.error());
      after = *std::move(created);
    }
    {
      MutexLock lock(mutex_);
      target_ = std::move(after);
    }
    if (before != nullptr) before->Stop();
    return {};
  }

  void Stop(std::chrono::milliseconds patience) override {
    const auto target = Current();
    if (target == nullptr) return;
    target->Close();
    target->AwaitSent(std::chrono::steady_clock::now() + patience);
    target->Stop();
  }

 private:
  std::shared_ptr<Target> Current() const EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    return target_;
  }

  const ForwardDeps deps_;
  std::atomic<size_t> next_ = 0;
  mutable Mutex mutex_;
  std::shared_ptr<Target> target_ GUARDED_BY(mutex_);
};

}  // namespace

Result<std::unique_ptr<RemoteSend>> RemoteSend::Create(const std::optional<TargetOptions>& target, ForwardDeps deps) {
  auto created = std::make_unique<RemoteSendTarget>(deps);
  if (const Status configured = created->Reconfigure(target); !configured) return Fail(configured.error());
  return created;
}

}  // namespace mi::forward
