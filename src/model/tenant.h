// The owner of a series. '' is the default tenant.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"

namespace mi::model {

class Tenant {
 public:
  Tenant() = default;

  // [a-zA-Z0-9!._*'()-]{1,150}, not "." or ".."; '' is the default tenant. VictoriaMetrics' accountID[:projectID] is
  // shortened: "0" and "0:0" are the default tenant, "1:0" is "1", "7:1" stays "7:1". kInvalid: any other text.
  static Result<Tenant> Parse(std::string_view text);

  const std::string& name() const { return name_; }
  bool is_default() const { return name_.empty(); }

  friend auto operator<=>(const Tenant&, const Tenant&) = default;

 private:
  explicit Tenant(std::string name) : name_(std::move(name)) {}
  std::string name_;
};

}  // namespace mi::model
