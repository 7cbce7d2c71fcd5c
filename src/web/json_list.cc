#include "web/json_list.h"

#include <utility>

#include "base/json.h"
#include "web/envelope.h"

namespace mi::web {
namespace {

class Series final : public ElementSource {
 public:
  explicit Series(query::SeriesReader reader) : reader_(std::move(reader)) {}

  bool AppendNext(std::string& out) override {
    const catalog::SeriesView* series = reader_.Next();
    if (series == nullptr) return false;
    char separator = '{';
    if (series->labels.empty()) out += separator;
    for (const model::Label& label : series->labels) {
      out += std::exchange(separator, ',');
      AppendJsonString(label.name, out);
      out += ':';
      AppendJsonString(label.value, out);
    }
    out += '}';
    return true;
  }
  void SetBounds(query::Bounds* bounds) override { reader_.SetBounds(bounds); }
  bool cut() const override { return reader_.cut(); }

 private:
  query::SeriesReader reader_;
};

class StringList final : public ElementSource {
 public:
  StringList(Snapshot snapshot, query::Strings strings)
      : snapshot_(std::move(snapshot)), strings_(std::move(strings)) {}

  bool AppendNext(std::string& out) override {
    if (at_ == strings_.items.size()) return false;
    AppendJsonString(strings_.items[at_++], out);
    return true;
  }
  bool cut() const override { return strings_.cut; }

 private:
  const Snapshot snapshot_;
  const query::Strings strings_;
  size_t at_ = 0;
};

class Metadata final : public ElementSource {
 public:
  Metadata(Snapshot snapshot, query::FoundMetadata found) : snapshot_(std::move(snapshot)), found_(std::move(found)) {}

  // One entry: a family can have ten of 64 KiB per tenant. The comma before it separates families and entries alike.
  bool AppendNext(std::string& out) override {
    if (at_ == found_.entries.size()) return false;
    const model::MetricMetadata& entry = *found_.entries[at_];
    if (at_ == 0 || found_.entries[at_ - 1]->family != entry.family) {
      AppendJsonString(entry.family, out);
      out += ":[";
    }
    out += R"({"type":)";
    AppendJsonString(entry.type, out);
    out += R"(,"unit":)";
    AppendJsonString(entry.unit, out);
    out += R"(,"help":)";
    AppendJsonString(entry.help, out);
    out += '}';
    ++at_;
    if (at_ == found_.entries.size() || found_.entries[at_]->family != entry.family) out += ']';
    return true;
  }
  bool cut() const override { return found_.cut; }

 private:
  const Snapshot snapshot_;
  const query::FoundMetadata found_;
  size_t at_ = 0;
};

// The elements in their envelope. Threads: confined to one at a time.
class JsonList {
 public:
  JsonList(std::unique_ptr<ElementSource> elements, std::string_view around, std::vector<std::string> warnings)
      : elements_(std::move(elements)), around_(around), warnings_(std::move(warnings)) {}

  void SetBounds(query::Bounds* bounds) { elements_->SetBounds(bounds); }
  // Appends the next chunk. False if it was the last.
  bool AppendChunk(std::string& out) {
    if (!std::exchange(begun_, true)) {
      AppendSuccessHead(out);
      out += around_.front();
    }
    while (out.size() < kChunkBytes) {
      const size_t before = out.size();
      if (!first_) out += ',';
      if (!elements_->AppendNext(out)) {
        out.resize(before);
        if (elements_->cut()) warnings_.emplace_back(kCutWarning);
        out += around_.back();
        AppendSuccessTail(warnings_, out);
        return false;
      }
      first_ = false;
    }
    return true;
  }

 private:
  const std::unique_ptr<ElementSource> elements_;
  const std::string_view around_;
  std::vector<std::string> warnings_;
  bool begun_ = false;
  bool first_ = true;
};

}  // namespace

std::unique_ptr<ElementSource> SeriesElements(query::SeriesReader reader) {
  return std::make_unique<Series>(std::move(reader));
}
std::unique_ptr<ElementSource> StringElements(Snapshot snapshot, query::Strings strings) {
  return std::make_unique<StringList>(std::move(snapshot), std::move(strings));
}
std::unique_ptr<ElementSource> MetadataElements(Snapshot snapshot, query::FoundMetadata found) {
  return std::make_unique<Metadata>(std::move(snapshot), std::move(found));
}

// Makes the first chunk at once. If it holds the whole answer, the answer gets a Content-Length and no stream.
// Otherwise it becomes the first chunk of the stream, and each later chunk is made when the connection asks for it. So
// an answer of any size holds a chunk or two of text, what it has found, and the snapshot.
net::Response ListResponse(std::unique_ptr<ElementSource> elements, std::string_view around,
                           std::vector<std::string> warnings, query::Bounds* bounds) {
  net::Response response{.content_type = std::string(kJson)};
  // Shared, because net::Response can be copied and next_chunk with it.
  auto json = std::make_shared<JsonList>(std::move(elements), around, std::move(warnings));
  std::string head;
  json->SetBounds(bounds);
  const bool is_whole = !json->AppendChunk(head);
  json->SetBounds(nullptr);
  if (is_whole) {
    response.body = std::move(head);
    return response;
  }
  response.next_chunk = [json = std::move(json), head = std::move(head), more = true](std::string& chunk) mutable {
    if (!head.empty()) {
      chunk = std::exchange(head, {});
    } else if (more) {
      more = json->AppendChunk(chunk);
    }
  };
  return response;
}

}  // namespace mi::web
