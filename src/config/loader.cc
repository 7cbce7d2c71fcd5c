#include "config/loader.h"

#include <unistd.h>

#include <cassert>
#include <filesystem>
#include <utility>

#include "base/format.h"
#include "base/quote.h"
#include "config/draft.h"
#include "config/relations.h"
#include "config/text_file.h"
#include "config/yaml_tree.h"

namespace mi::config {
namespace {

namespace fs = std::filesystem;

using Environment = std::map<std::string, std::string>;

// The mode, which chooses the configuration file, and the variable that set it: GO_ENV or METRIC_INDEX_ENV.
struct Choice {
  std::string variable;
  std::string mode;  // dev, prod
};

struct File {
  std::string name;
  std::string_view text;
};

std::optional<Choice> ReadVariable(const Environment& environment, const std::string& name) {
  const auto at = environment.find(name);
  if (at == environment.end() || at->second.empty()) return std::nullopt;
  return Choice{name, at->second};
}

// With --config FILE, a GO_ENV that is meant for other programs ("staging") is ignored; without it the variable has to
// choose the file, so its value must be known.
std::optional<Choice> ReadChoice(const Sources& sources, Draft& draft) {
  const auto ours = ReadVariable(sources.environment, "METRIC_INDEX_ENV");
  const auto go = ReadVariable(sources.environment, "GO_ENV");
  std::optional<Choice> choice;
  for (const auto& candidate : {go, ours}) {
    if (!candidate) continue;
    const bool known = candidate->mode == "dev" || candidate->mode == "prod";
    const std::string wants = mi::format("wants dev or prod, is {}", Quoted(candidate->mode));
    if (known && choice && choice->mode != candidate->mode) {
      draft.AddFault({candidate->variable},
                     mi::format("is {}, but {} is {}", candidate->mode, choice->variable, choice->mode));
    } else if (known) {
      choice = candidate;
    } else if (sources.file && candidate->variable == "GO_ENV") {
      draft.warnings.push_back(mi::format("GO_ENV: {}; it does not count", wants));
    } else {
      draft.AddFault({candidate->variable}, wants);
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
  draft.AddFault({choice->variable},
                 mi::format("is {0}, but there is neither config/{0}.yml nor conf/{0}.yml in {1}; name "
                            "the file with --config, or unset {2}",
                            choice->mode, fs::absolute(sources.folder).lexically_normal().string(), choice->variable));
  return std::nullopt;
}

// Returns whether the text was read to its end: only then is a missing option really missing.
bool ApplyText(const File& file, Draft& draft) {
  if (file.text.size() > kMaxFileBytes) {
    draft.AddFault({file.name},
                   mi::format("{} long, limit {}", FormatBytes(file.text.size()), FormatBytes(kMaxFileBytes)));
    return false;
  }
  const YamlTree tree = ParseYaml(file.text);
  draft.ApplyYaml(tree, file.name);
  if (tree.whole && tree.root.children.empty()) draft.warnings.push_back(mi::format("{}: holds no keys", file.name));
  return tree.whole;
}

// Applies the sources in the order of their precedence, each over the ones before: defaults, file, mode, environment,
// command line. All faults are collected, so a person sees them at once. Relations between options are checked last,
// when every option has its final value, and only if the file was read to its end: an option of the unread rest would
// look like a missing one.
Result<Loaded> Assemble(const Sources& sources, const std::optional<Choice>& choice, const std::optional<File>& file,
                        Draft draft) {
  const bool whole = !file || ApplyText(*file, draft);
  if (choice) draft.Set(FindOption("app.mode"), choice->mode, {choice->variable});
  draft.ApplyEnvironment(sources.environment);
  draft.ApplyCommandLine(sources.command_line);
  if (whole) CheckRelations(draft);
  if (!draft.ok()) return Fail(draft.Faults());
  Loaded loaded{std::move(draft.config), {}, std::move(draft.warnings), {}};
  if (file) loaded.file = file->name;
  for (const auto& [path, place] : draft.origins) loaded.origins.emplace(path, place.ToString());
  return loaded;
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
  const std::string text = TRY(ReadSmallFile(*file, kMaxFileBytes));
  return Assemble(sources, choice, File{*file, text}, std::move(draft));
}

Result<Loaded> LoadWithText(const Sources& sources, std::string_view text) {
  assert(sources.file);
  Draft draft;
  const auto choice = ReadChoice(sources, draft);
  return Assemble(sources, choice, File{*sources.file, text}, std::move(draft));
}

Result<Loaded> LoadFromText(std::string_view text, const std::string& name) {
  return LoadWithText({.file = name, .environment = {}, .command_line = {}}, text);
}

Result<Loaded> Check(const std::string& file) { return Load({.file = file, .environment = {}, .command_line = {}}); }

}  // namespace mi::config
