// Answers that are lists, chunk by chunk: 300,000 series are 170 MB of JSON, of which only one chunk exists at a time.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "net/http.h"
#include "query/metadata.h"
#include "query/select.h"
#include "query/series_reader.h"

namespace mi::web {

inline constexpr size_t kChunkBytes = 128 << 10;  // a chunk ends with the first element that reaches it

// The elements of an answer. Threads: confined to one at a time.
class ElementSource {
 public:
  virtual ~ElementSource() = default;
  // Appends the next element as JSON, or the next part of a long one. The caller puts a comma between any two.
  // False if there are no more; nothing is appended then.
  virtual bool AppendNext(std::string& out) = 0;
  // Which ends a long search for the next element; null: nothing does.
  virtual void SetBounds(query::Bounds*) {}
  // Whether `limit` has left something out. Known after the last element.
  virtual bool cut() const = 0;
};

using Snapshot = std::shared_ptr<const catalog::Snapshot>;  // shared with the catalogue: the source reads from it

// {"__name__":"up","job":"a"}
std::unique_ptr<ElementSource> SeriesElements(query::SeriesReader reader);
// "a"
std::unique_ptr<ElementSource> StringElements(Snapshot snapshot, query::Strings strings);
// "up":[{"type":"gauge","unit":"","help":"…"}], to stand between kBraces; in parts of one entry each
std::unique_ptr<ElementSource> MetadataElements(Snapshot snapshot, query::FoundMetadata found);

inline constexpr std::string_view kBrackets = "[]";
inline constexpr std::string_view kBraces = "{}";

// The elements in `around` and in the envelope. An answer that fits one chunk is one body. A longer one is streamed.
// `bounds` counts until this returns.
net::Response ListResponse(std::unique_ptr<ElementSource> elements, std::string_view around,
                           std::vector<std::string> warnings, query::Bounds* bounds);

}  // namespace mi::web
