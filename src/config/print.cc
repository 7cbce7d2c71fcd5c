#include "config/print.h"

#include <algorithm>

#include "base/format.h"
#include "base/quote.h"
#include "config/draft.h"
#include "config/rows.h"
#include "config/value.h"

namespace mi::config {
namespace {

constexpr std::string_view kIntroduction = R"(# Configuration

<!-- Made from the option rows in src/config/rows.cc; a test compares. MI_WRITE_DOCS=1 config_test writes it anew. -->

One YAML file holds the options; `metric-index config default` prints it whole and commented, `config check FILE` checks one,
`config show` prints what is in effect and where each value comes from.

- **Precedence**: command line over environment over file over default.
- **Which file**: `--config FILE`; else `GO_ENV` or `METRIC_INDEX_ENV` (`dev` or `prod`) chooses `config/<env>.yml`, then
  `conf/<env>.yml`; where it is set and there is no such file the process ends with 2, never with silent defaults. Else the
  defaults stand. Both variables set `app.mode` too.
- **Environment**: `METRIC_INDEX_` and the key in upper case with `_` for `.`: `METRIC_INDEX_APP_PORT`. Lists are separated by
  commas. The same name with `_FILE` names a file that holds the value (one newline at its end is left out). A variable that is
  no option is refused; those that Kubernetes makes for a service called metric-index are left alone. An option of librdkafka
  has `_` for `.`: `METRIC_INDEX_LIBRDKAFKA_LINGER_MS`. `METRIC_INDEX_REMOTE_WRITE_URL` means the only target of `remote.write`.
- **Values**: sizes as `33554432` or `32MiB`; durations as `20` (seconds), `20s`, `1500ms`, `5m`, `1h30m`, `7d`. A key with nothing
  after its colon has its default.
- **Faults**: an unknown key, a wrong type, a value out of range, a duplicate key, an anchor or alias, a second document: each
  with file, line and the nearest known key, all of them at once, and the process ends with 2.
- **Misspellings** of the service before are understood, and the correct spelling wins where both stand: `consummer` (section and
  role), `fulsh_interval`, `max_idel_conns`, `dbname`.
- **Reload**: the file is watched, and SIGHUP reads it anew. It is checked as a whole and then taken as a whole; a bad one changes
  nothing and is logged. What is *live* changes at once; what says *restart* is named in the log, and the metric
  `metric_index_config_restart_needed` counts it.
- **Secrets** are never printed.
)";

enum class Secrets { kClear, kMasked };

constexpr std::string_view kMask = "***";

std::string SectionProse(std::string_view path) {
  for (const Section& section : Sections()) {
    if (section.path == path) return std::string(section.prose);
  }
  return {};
}

// "a whole number from 1 to 65535; live"
std::string Remarks(const Row& row, const Member& member) {
  std::string remarks = Wants(row, member);
  remarks += row.reload == Reload::kLive ? "; live" : "; restart";
  if (row.secret == Secret::kYes) {
    remarks += mi::format("; secret: {0} or {0}_FILE keeps it out of this file", EnvironmentName(row.path));
  }
  return remarks;
}

class YamlPrinter {
 public:
  struct Style {
    bool prose = false;
    Secrets secrets = Secrets::kClear;
    const std::map<std::string, std::string>* origins = nullptr;
  };

  YamlPrinter(const Config& config, Style style) : config_(config), style_(style) {}

  std::string Print() {
    const auto rows = Rows();
    for (size_t i = 0; i < rows.size();) {
      const size_t brackets = rows[i].path.find("[]");
      if (brackets != std::string_view::npos) {
        const auto list = rows[i].path.substr(0, brackets);
        const auto end = std::find_if(rows.begin() + static_cast<std::ptrdiff_t>(i), rows.end(),
                                      [&](const Row& row) { return !row.path.starts_with(list); });
        const auto count = static_cast<size_t>(end - rows.begin()) - i;
        List(list, rows.subspan(i, count));
        i += count;
      } else {
        Enter(ParentOf(rows[i].path));
        Option(rows[i], 0, Depth(rows[i].path), "");
        ++i;
      }
    }
    return std::move(out_);
  }

 private:
  static size_t Depth(std::string_view path) { return static_cast<size_t>(std::count(path.begin(), path.end(), '.')); }
  static std::string Indent(size_t depth) { return std::string(2 * depth, ' '); }

  void Comment(size_t depth, std::string_view text) {
    if (style_.prose && !text.empty()) out_ += mi::format("{}# {}\n", Indent(depth), text);
  }

  // Writes the headers of `section` and of the sections around it, except those that the last option was in.
  void Enter(std::string_view section) {
    if (section == section_) return;
    const std::string_view parent = ParentOf(section);
    const bool inside = section_ == parent || section_.starts_with(std::string(parent) + ".");
    if (!parent.empty() && !inside) Enter(parent);
    if (section.empty()) {
      if (style_.prose) out_ += '\n';
    } else {
      Header(section);
    }
    section_ = section;
  }

  void Header(std::string_view section) {
    if (style_.prose && Depth(section) == 0) out_ += '\n';
    Comment(Depth(section), SectionProse(section));
    out_ += mi::format("{}{}:\n", Indent(Depth(section)), LastWord(section));
  }

  void Option(const Row& row, size_t element, size_t depth, std::string_view dash) {
    const OptionRef ref = {.row = &row, .element = element};
    const Member member = row.member(config_, element);
    if (element == 0) {
      Comment(depth, row.prose);
      Comment(depth, mi::format("({})", Remarks(row, member)));
    }
    if (auto* const* options = std::get_if<std::map<std::string, std::string>*>(&member)) {
      return KafkaOptions(**options);
    }
    const std::string indent = dash.empty() ? Indent(depth) : Indent(depth - 1) + std::string(dash);
    out_ += mi::format("{}{}: {}{}\n", indent, LastWord(row.path), Value(row, member), Origin(ref));
  }

  std::string Value(const Row& row, const Member& member) const {
    if (style_.secrets == Secrets::kMasked) {
      auto* const* text = std::get_if<std::string*>(&member);
      if (row.secret == Secret::kYes && text != nullptr && !(*text)->empty()) return YamlQuoted(kMask);
      if (text != nullptr && HoldsUrl(row)) return YamlQuoted(ShownUrl(**text));
    }
    return FormatYaml(row, member);
  }

  void KafkaOptions(const std::map<std::string, std::string>& options) {
    out_ += options.empty() ? "librdkafka: {}\n" : "librdkafka:\n";
    for (const auto& [name, value] : options) {
      const bool masked = style_.secrets == Secrets::kMasked && IsSecretKafkaOption(name);
      const OptionRef ref = {.row = FindRow("librdkafka"), .option = name};
      out_ += mi::format("  {}: {}{}\n", YamlQuoted(name), YamlQuoted(masked ? kMask : value), Origin(ref));
    }
  }

  void List(std::string_view path, std::span<const Row> rows) {
    Enter(ParentOf(path));
    Comment(Depth(path), SectionProse(path));
    const size_t count = config_.remote.write.size();
    out_ += mi::format("{}{}:{}\n", Indent(Depth(path)), LastWord(path), count == 0 ? " []" : "");
    for (size_t element = 0; element < count; ++element) {
      std::string_view dash = "- ";
      for (const Row& row : rows) {
        Option(row, element, Depth(path) + 2, dash);
        dash = "";
      }
    }
  }

  std::string Origin(const OptionRef& ref) const {
    if (style_.origins == nullptr) return {};
    const auto at = style_.origins->find(ref.Path());
    return "  # " + (at == style_.origins->end() ? std::string("default") : at->second);
  }

  Config config_;  // slots point into it
  const Style style_;
  std::string section_;
  std::string out_;
};

// ---- docs/configuration.md

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
  if (const std::string prose = SectionProse(name); !prose.empty()) header += prose + "\n\n";
  return header + "| key | default | wants | meaning | reload |\n| --- | --- | --- | --- | --- |\n";
}

}  // namespace

std::string PrintDefault() {
  std::string text =
      "# Every option of metric-index with its default. What is left out has it; what is unknown is refused.\n"
      "# An option can also come from the environment (app.port: METRIC_INDEX_APP_PORT, or METRIC_INDEX_APP_PORT_FILE "
      "with\n"
      "# the path of a file that holds the value), which goes over this file, and from the command line, which goes "
      "over both.\n";
  return text + YamlPrinter(Config(), {.prose = true}).Print();
}

std::string PrintShow(const Loaded& loaded) {
  const std::string file =
      loaded.file ? "# file: " + *loaded.file + "\n" : "# no file: defaults, environment, command line\n";
  return file + YamlPrinter(loaded.config, {.secrets = Secrets::kMasked, .origins = &loaded.origins}).Print();
}

std::string PrintYaml(const Config& config) { return YamlPrinter(config, {}).Print(); }

std::string PrintDocumentation() {
  std::string text(kIntroduction);
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
