#include "web/series_json.h"

#include <memory>
#include <utility>

#include "base/json.h"
#include "web/envelope.h"

namespace mi::web {
namespace {

void AppendLabels(const catalog::SeriesView& series, std::string& out) {
  char separator = '{';
  if (series.labels.empty()) out += separator;
  for (const model::Label& label : series.labels) {
    out += std::exchange(separator, ',');
    AppendJsonString(label.name, out);
    out += ':';
    AppendJsonString(label.value, out);
  }
  out += '}';
}

// [{"__name__":"up","job":"a"},…] in its envelope. Threads: confined to one at a time.
class SeriesJson {
 public:
  SeriesJson(query::SeriesReader reader, std::vector<std::string> warnings)
      : reader_(std::move(reader)), warnings_(std::move(warnings)) {}

  // Appends the next chunk. False if it was the last.
  bool AppendChunk(std::string& out) {
    if (!std::exchange(begun_, true)) {
      AppendSuccessHead(out);
      out += '[';
    }
    while (out.size() < kChunkBytes) {
      const catalog::SeriesView* series = reader_.Next();
      if (series == nullptr) {
        if (reader_.cut()) warnings_.emplace_back(kCutWarning);
        out += ']';
        AppendSuccessTail(warnings_, out);
        return false;
      }
      if (!std::exchange(first_, false)) out += ',';
      AppendLabels(*series, out);
    }
    return true;
  }

 private:
  query::SeriesReader reader_;
  std::vector<std::string> warnings_;
  bool begun_ = false;
  bool first_ = true;
};

}  // namespace

// Makes the first chunk at once. If it holds the whole answer, the answer gets a Content-Length and no stream.
// Otherwise it becomes the first chunk of the stream, and each later chunk is made when the connection asks for it. So
// an answer of any size holds a chunk or two of text, its set of series, and the snapshot.
net::Response SeriesResponse(query::SeriesReader reader, std::vector<std::string> warnings) {
  net::Response response{.content_type = std::string(kJson)};
  // Shared, because net::Response can be copied and next_chunk with it.
  auto json = std::make_shared<SeriesJson>(std::move(reader), std::move(warnings));
  std::string head;
  head.reserve(kChunkBytes + (8 << 10));
  if (!json->AppendChunk(head)) {
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
