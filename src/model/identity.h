// A series' name as people read it: name{a="1",b="2"} (docs/formats/identity.md).
//
// `__name__` comes first; the other labels are sorted by the bytes of their names. Values are escaped as in the
// Prometheus text format (\\, \", \n). Names outside the classic alphabet are quoted: {"my.metric",a="1"}, {"a.b"="1"}.
// A series that has only a name: name{}.
//
// This is the only parser of such texts. The catalogue reads every stored series with it when it loads; the cache
// endpoint and the load generator read single ones.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "model/labels.h"

namespace mi::model {

// Appends, so that a caller can reuse its buffer.
void AppendIdentity(LabelsView labels, std::string& out);
std::string FormatIdentity(LabelsView labels);

// The same text in parts, for callers that keep the parts of labels that many series share: the beginning with the
// metric's name (which may be empty), each other label in order, the end.
void BeginIdentity(std::string_view metric_name, std::string& out);
void AppendIdentityLabel(const Label& label, std::string& out);
void EndIdentity(std::string& out);

// Reads identity texts without allocating memory per text. Reuse it: it keeps its buffers.
// Threads: confined to one.
class IdentityReader {
 public:
  // The labels of `text`: no empty name or value, no name twice, sorted by the bytes of their names. They are valid
  // until the next call, and as long as `text`. Labels may be in any order, with blanks around names, '=' and ',';
  // `name` alone means `name{}`. kInvalid: the message names the byte at which reading failed, or the name that occurs
  // twice.
  Result<std::span<const Label>> Read(std::string_view text);

 private:
  bool ReadAll();
  bool ReadPairs();
  bool ReadPair();
  bool TakeQuoted(std::string_view& text);
  bool Unescape(std::string_view& text);
  bool Take(char c, std::string_view expected);
  bool Expected(std::string_view what);
  std::string_view TakeWord(unsigned char starts, unsigned char goes_on);
  void SkipBlanks();
  void Add(Label label);

  std::string_view text_;
  const char* at_ = nullptr;
  const char* end_ = nullptr;
  bool usual_ = true;          // so far the labels ascend by name, and none is empty
  std::string_view expected_;  // after a failure: what should have stood at at_
  std::vector<Label> labels_;
  std::string unescaped_;  // the texts of labels_ that contained escapes
};

// The same as an owned label set. ParseIdentity(FormatIdentity(x)) == x.
Result<Labels> ParseIdentity(std::string_view text);

}  // namespace mi::model
