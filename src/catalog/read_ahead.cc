#include "catalog/read_ahead.h"

#include <algorithm>
#include <atomic>
#include <functional>
#include <memory>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "base/bounded_queue.h"
#include "base/format.h"
#include "model/identity.h"

namespace mi::catalog {
namespace {

// More labels than any receiver accepts. Bounds the size of a posting list's tail.
constexpr size_t kMaxLabels = 65'535;
constexpr size_t kPortions = 4;
constexpr size_t kRows = 2048;                  // of a portion
constexpr size_t kTextBytes = size_t{1} << 20;  // … or one row that is longer

// Rows with copies of their texts, since those of the reader are valid during the visit only.
class Portion {
 public:
  bool HasRoomFor(const store::StoredSeries& series) const {
    return rows_.empty() || (rows_.size() < kRows && text_.size() + MostBytes(series) <= text_.capacity());
  }

  // Requires: HasRoomFor(series), so that the texts of the rows before do not move.
  void Add(const store::StoredSeries& series, model::IdentityReader& identity, model::IdentityFingerprinter* verify) {
    if (rows_.empty()) text_.reserve(std::max(kTextBytes, MostBytes(series)));
    Row row = {.stored = series, .first_label = labels_.size()};
    row.stored.tenant = Copy(series.tenant);
    row.stored.content = Copy(series.content);
    const auto labels = identity.Read(row.stored.content);
    if (!labels) {
      row.damage = labels.error().message();
    } else if (labels->size() > kMaxLabels) {
      row.damage = format("{} labels, limit {}", labels->size(), kMaxLabels);
    } else {
      if (verify != nullptr) row.of_its_content = (*verify)(row.stored.tenant, *labels);
      if (verify != nullptr && row.of_its_content != series.fingerprint) {
        row.damage = "tenant and content do not have its fingerprint";
      } else if (!series.has_times) {
        row.damage = "its times are lost";
      }
      for (const model::Label& label : *labels) labels_.push_back({Keep(label.name), Keep(label.value)});
    }
    rows_.push_back(std::move(row));
  }

  // Ends and returns false if visit(row) does.
  bool ForEach(const std::function<bool(const DecodedSeries&)>& visit) const {
    for (size_t i = 0; i < rows_.size(); ++i) {
      const Row& row = rows_[i];
      const size_t end = i + 1 < rows_.size() ? rows_[i + 1].first_label : labels_.size();
      const bool more = visit({.stored = row.stored,
                               .labels = std::span(labels_).subspan(row.first_label, end - row.first_label),
                               .damage = row.damage,
                               .of_its_content = row.of_its_content});
      if (!more) return false;
    }
    return true;
  }

  void Clear() {
    rows_.clear();
    labels_.clear();
    text_.clear();
  }

 private:
  struct Row {
    store::StoredSeries stored;
    size_t first_label = 0;
    std::string damage;
    std::optional<model::Fingerprint> of_its_content;
  };

  // The content, and once more for texts that have no escapes any more.
  static size_t MostBytes(const store::StoredSeries& series) {
    return series.tenant.size() + 2 * series.content.size();
  }

  std::string_view Copy(std::string_view text) {
    const size_t at = text_.size();
    text_.insert(text_.end(), text.begin(), text.end());
    return {text_.data() + at, text.size()};
  }

  // Most labels point into the copy of the content; the others are copied.
  std::string_view Keep(std::string_view text) {
    const std::less<> before;
    const bool is_here = !before(text.data(), text_.data()) && before(text.data(), text_.data() + text_.size());
    return is_here ? text : Copy(text);
  }

  std::vector<Row> rows_;
  std::vector<model::Label> labels_;  // of all rows
  std::vector<char> text_;            // never grows while it is in use
};

class Pipeline {
 public:
  Pipeline(model::IdentityFingerprinter* verify, const std::function<bool(const DecodedSeries&)>& add)
      : verify_(verify), add_(add) {}

  // Returns false if no more rows are wanted.
  bool Take(const store::StoredSeries& series) {
    if (!portion_->HasRoomFor(series)) HandOver();
    portion_->Add(series, identity_, verify_);
    return !ended_.load(std::memory_order_relaxed);
  }

  // Returns when every row was added.
  void Finish() {
    filled_.Close();
    if (thread_.joinable()) thread_.join();
    AddAll(*portion_);
  }

 private:
  // Both queues have room for all portions, so that a push never fails. Waits if the other thread is far behind.
  void HandOver() {
    if (!thread_.joinable()) {
      for (size_t i = 1; i < kPortions; ++i) free_.TryPush(std::make_unique<Portion>());
      thread_ = std::thread([this] { Run(); });
    }
    filled_.TryPush(std::move(portion_));
    portion_ = *free_.Pop();
  }

  void Run() {
    while (std::optional<std::unique_ptr<Portion>> portion = filled_.Pop()) {
      AddAll(**portion);
      (*portion)->Clear();
      free_.TryPush(*std::move(portion));
    }
  }

  void AddAll(const Portion& portion) {
    if (!ended_.load(std::memory_order_relaxed) && !portion.ForEach(add_)) ended_ = true;
  }

  model::IdentityFingerprinter* const verify_;
  const std::function<bool(const DecodedSeries&)>& add_;
  model::IdentityReader identity_;
  std::unique_ptr<Portion> portion_ = std::make_unique<Portion>();  // that is being filled
  BoundedQueue<std::unique_ptr<Portion>> filled_{kPortions};
  BoundedQueue<std::unique_ptr<Portion>> free_{kPortions};
  std::atomic<bool> ended_ = false;
  std::thread thread_;
};

}  // namespace

Status ReadAhead(const std::function<Status(const std::function<bool(const store::StoredSeries&)>&)>& read,
                 model::IdentityFingerprinter* verify, const std::function<bool(const DecodedSeries&)>& add) {
  Pipeline pipeline(verify, add);
  Status done = read([&](const store::StoredSeries& series) { return pipeline.Take(series); });
  pipeline.Finish();
  return done;
}

}  // namespace mi::catalog
