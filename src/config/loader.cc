#include "config/loader.h"

#include <unistd.h>

#include <filesystem>
#include <utility>

#include "base/format.h"
#include "config/draft.h"
#include "config/load_text.h"
#include "config/quote.h"
#include "config/rows.h"
#include "config/text_file.h"
#include "config/yaml_tree.h"

namespace mi::config {
namespace {

namespace fs = std::filesystem;

using Environment = std::map<std::string, std::string>;

// What GO_ENV or METRIC_INDEX_ENV says.
struct Choice {
  std::string variable;
  std::string mode;  // dev, prod
};

std::optional<Choice> ReadVariable(const Environment& environment, const std::string& name) {
  const auto at = environment.find(name);
  if (at == environment.end() || at->second.empty()) return std::nullopt;
  return Choice{name, at->second};
}

// With a --config FILE a foreign GO_ENV ("staging") is none of our business; where it has to choose the file it must be
// understood.
std::optional<Choice> ReadChoice(const Sources& sources, Draft& draft) {
  const auto ours = ReadVariable(sources.environment, "METRIC_INDEX_ENV");
  const auto go = ReadVariable(sources.environment, "GO_ENV");
  std::optional<Choice> choice;
  for (const auto& candidate : {go, ours}) {
    if (!candidate) continue;
    const bool known = candidate->mode == "dev" || candidate->mode == "prod";
    const std::string wants = mi::format("wants dev or prod, is {}", Quoted(candidate->mode));
    if (known && choice && choice->mode != candidate->mode) {
      draft.AddFault(candidate->variable,
                     mi::format("is {}, but {} is {}", candidate->mode, choice->variable, choice->mode));
    } else if (known) {
      choice = candidate;
    } else if (sources.file && candidate->variable == "GO_ENV") {
      draft.warnings.push_back(mi::format("GO_ENV: {}; it does not count", wants));
    } else {
      draft.AddFault(candidate->variable, wants);
    }
  }
  return choice;
}

std::optional<std::string> FindFile(const Sources& sources, const std::optional<Choice>& choice, Draft& draft) {
  if (sources.file) return sources.file;
  if (!choice || !draft.ok()) return std::nullopt;
  for (const std::string_view folder : {"config", "conf"}) {
    const fs::path relative = fs::path(folder) / (choice->mode + ".yml");
    std::error_code error;
    const fs::path path = sources.folder == "." ? relative : sources.folder / relative;
    if (fs::exists(path, error)) return path.string();
  }
  draft.AddFault(choice->variable,
                 mi::format("is {0}, but there is neither config/{0}.yml nor conf/{0}.yml in {1}; name "
                            "the file with --config, or unset {2}",
                            choice->mode, fs::absolute(sources.folder).lexically_normal().string(), choice->variable));
  return std::nullopt;
}

// Whether the text was read as a whole, so that what is absent from it is really absent.
bool ApplyText(std::string_view text, std::string_view name, Draft& draft) {
  if (text.size() > kMaxFileBytes) {
    draft.AddFault(std::string(name),
                   mi::format("{} long, limit {}", FormatBytes(text.size()), FormatBytes(kMaxFileBytes)));
    return false;
  }
  const YamlTree tree = ParseYaml(text);
  ApplyYaml(tree, name, draft);
  if (tree.whole && tree.root.children.empty()) draft.warnings.push_back(mi::format("{}: holds no keys", name));
  return tree.whole;
}

struct FileText {
  std::string name;
  std::string_view text;
};

Result<Loaded> Finish(Draft draft, std::optional<std::string> file) {
  if (!draft.ok()) return Fail(draft.Faults());
  Loaded loaded{std::move(draft.config), {}, std::move(draft.warnings), std::move(file)};
  for (const auto& [path, place] : draft.origins) loaded.origins.emplace(path, place.ToString());
  return loaded;
}

// Each source over the one before.
Result<Loaded> Assemble(const Sources& sources, const std::optional<Choice>& choice,
                        const std::optional<FileText>& file, Draft draft) {
  const bool whole = !file || ApplyText(file->text, file->name, draft);
  if (choice) draft.Set(FindTarget("app.mode"), choice->mode, choice->variable);
  ApplyEnvironment(sources.environment, draft);
  ApplyCommandLine(sources.command_line, draft);
  if (whole) CheckRelations(draft);
  return Finish(std::move(draft), file ? std::optional(file->name) : std::nullopt);
}

}  // namespace

Environment ProcessEnvironment() {
  Environment environment;
  for (char** variable = environ; variable != nullptr && *variable != nullptr; ++variable) {
    const std::string_view text(*variable);
    const size_t equals = text.find('=');
    if (equals != std::string_view::npos) environment.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  return environment;
}

Result<Loaded> Load(const Sources& sources) {
  Draft draft;
  const auto choice = ReadChoice(sources, draft);
  const auto file = FindFile(sources, choice, draft);
  if (!file) return Assemble(sources, choice, std::nullopt, std::move(draft));
  const auto text = ReadSmallFile(*file, kMaxFileBytes);
  if (!text) return Fail(text.error());
  return Assemble(sources, choice, FileText{*file, *text}, std::move(draft));
}

Result<Loaded> LoadWithText(const Sources& sources, std::string_view text) {
  Draft draft;
  const auto choice = ReadChoice(sources, draft);
  return Assemble(sources, choice, FileText{sources.file.value_or(""), text}, std::move(draft));
}

Result<Loaded> LoadFromText(std::string_view text, std::string_view name) {
  Draft draft;
  if (ApplyText(text, name, draft)) CheckRelations(draft);
  return Finish(std::move(draft), std::string(name));
}

Result<Loaded> Check(const std::string& file) { return Load({.file = file, .environment = {}, .command_line = {}}); }

std::vector<Flag> Flags() {
  std::vector<Flag> flags;
  for (const Row& row : Rows()) {
    if (!row.flag.empty()) flags.push_back({row.flag, row.path, row.prose});
  }
  return flags;
}

}  // namespace mi::config
