// docs/configuration.md, made from the rows.
#include "base/format.h"
#include "config/loader.h"
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
  const std::string value = FormatPlain(row, row.slot(config, 0));
  return value.empty() ? "" : mi::format("`{}`", value);
}

std::string SectionOf(std::string_view path) {
  std::string section(ParentOf(path).empty() ? path : ParentOf(path));
  std::erase_if(section, [](char c) { return c == '[' || c == ']'; });
  return section;
}

std::string Header(const std::string& name) {
  std::string header = mi::format("\n## {}\n\n", name);
  for (const Section& section : Sections()) {
    if (section.path == name) header += mi::format("{}\n\n", section.prose);
  }
  return header + "| key | default | wants | meaning | reload |\n| --- | --- | --- | --- | --- |\n";
}

}  // namespace

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
    text += mi::format("| `{}` | {} | {} | {} | {} |\n", row.path, DefaultOf(row), Wants(row, row.slot(defaults, 0)),
                       meaning, row.reload == Reload::kLive ? "live" : "restart");
  }
  return text;
}

}  // namespace mi::config
