#include "config/testing/option_tables.h"

#include "base/format.h"
#include "config/rows.h"
#include "config/value.h"

namespace mi::config {
namespace {

std::string Escaped(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '|' || c == '<') escaped += '\\';
    escaped += c;
  }
  return escaped;
}

std::string DefaultOf(const Row& row) {
  Config config;
  const std::string value = FormatPlain(row, row.member(config, 0));
  return value.empty() ? "" : mi::format("`{}`", value);
}

std::string SectionOf(std::string_view path) {
  std::string section(ParentOf(path).empty() ? path : ParentOf(path));
  std::erase_if(section, [](char c) { return c == '[' || c == ']'; });
  return section;
}

std::string Header(const std::string& name) {
  std::string header = mi::format("\n## {}\n\n", name);
  if (const std::string_view prose = ProseOfSection(name); !prose.empty()) header += mi::format("{}\n\n", prose);
  return header + "| key | default | wants | meaning | reload |\n| --- | --- | --- | --- | --- |\n";
}

}  // namespace

std::string OptionTables() {
  std::string text;
  std::string section;
  Config defaults;
  for (const Row& row : Rows()) {
    if (SectionOf(row.path) != section) {
      section = SectionOf(row.path);
      text += Header(section);
    }
    std::string meaning = Escaped(row.prose);
    if (row.secret == Secret::kYes) meaning += " Secret.";
    if (!row.flag.empty()) meaning += mi::format(" Flag: `{}`.", row.flag);
    text += mi::format("| `{}` | {} | {} | {} | {} |\n", row.path, DefaultOf(row), Wants(row, row.member(defaults, 0)),
                       meaning, row.reload == Reload::kLive ? "live" : "restart");
  }
  return text;
}

}  // namespace mi::config
