#include "config/print.h"

#include <algorithm>

#include "base/format.h"
#include "base/quote.h"
#include "config/draft.h"
#include "config/rows.h"
#include "config/value.h"

namespace mi::config {
namespace {

enum class Secrets { kClear, kMasked };

constexpr std::string_view kMask = "***";

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
    Comment(Depth(section), ProseOfSection(section));
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
    Comment(Depth(path), ProseOfSection(path));
    const size_t count = config_.remote_write.size();
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

}  // namespace mi::config
