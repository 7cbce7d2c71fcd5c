// A series' name as people read it: name{a="1",b="2"} (docs/formats/identity.md).
//
// `__name__` in front, the other labels sorted by the bytes of their names, values escaped as in the Prometheus text
// format (\\, \", \n); names outside the classic alphabet are quoted: {"my.metric",a="1"}, {"a.b"="1"}. Without other
// labels: name{}.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "model/labels.h"

namespace mi::model {

// Appends, so that a caller can reuse its buffer.
void AppendIdentity(LabelsView labels, std::string& out);
std::string FormatIdentity(LabelsView labels);

// The inverse, without loss: ParseIdentity(FormatIdentity(x)) == x. Labels may come in any order; blanks may stand
// around names, '=' and ','; `name` alone means `name{}`. kInvalid says at which byte it went wrong.
Result<Labels> ParseIdentity(std::string_view text);

// Whether a name can stand unquoted: [a-zA-Z_:][a-zA-Z0-9_:]* for metrics, the same without ':' for labels.
bool IsClassicMetricName(std::string_view name);
bool IsClassicLabelName(std::string_view name);

}  // namespace mi::model
