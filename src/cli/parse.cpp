#include "cli/parse.h"

#include <CLI/CLI.hpp>
#include <iostream>
#include <tuple>

#include "cli/checks.h"
#include "io/fields.h"

namespace loraxs {
namespace {

/// The options of every subcommand, of which one will be used.
template <class Variant>
struct AllOf;
template <class... Options>
struct AllOf<std::variant<Options...>> {
  std::tuple<Options...> options;

  void add_to(CLI::App& app, CommonOptions& common) { (add(app, std::get<Options>(options), common), ...); }

  Subcommands chosen(const CLI::App& app) {
    Subcommands found;
    ((app.got_subcommand(Options::kSubcommand.name) ? void(found = std::move(std::get<Options>(options))) : void()),
     ...);
    return found;
  }

 private:
  template <class One>
  static void add(CLI::App& app, One& options, CommonOptions& common) {
    constexpr Subcommand is = One::kSubcommand;
    CLI::App& sub = *app.add_subcommand(is.name, is.help);
    options.add_to(sub);
    common.add_to(sub, is.opens_model);
    check_numbers(sub);
    sub.footer("Example:\n  " + std::string(is.example));
  }
};

/// The subcommand of `app` with this name; null where there is none.
const CLI::App* subcommand_of(const CLI::App& app, const std::string& name) {
  for (const CLI::App* sub : app.get_subcommands({})) {
    if (sub->get_name() == name) return sub;
  }
  return nullptr;
}

/// One sentence for a usage error, with the nearest known subcommand or option.
std::string usage_error(const CLI::App& app, const std::string& message, int argc, const char* const* argv) {
  const CLI::App* chosen = &app;
  int next = 1;
  for (; next < argc; ++next) {
    const CLI::App* sub = subcommand_of(*chosen, argv[next]);
    if (sub == nullptr) break;
    chosen = sub;
  }
  std::vector<std::string> commands, flags;
  for (const CLI::App* sub : chosen->get_subcommands({})) commands.push_back(sub->get_name());
  for (const CLI::Option* option : chosen->get_options()) {
    for (const std::string& name : option->get_lnames()) flags.push_back("--" + name);
  }
  std::string hint;
  if (!commands.empty() && next < argc && argv[next][0] != '-') {
    if (const auto near = nearest_name(argv[next], commands)) hint = "; did you mean " + *near + "?";
    return std::string(argv[next]) + ": unknown command" + (hint.empty() ? "; see loraxs --help" : hint);
  }
  for (int i = 1; i < argc; ++i) {
    const std::string word = std::string(argv[i]).substr(0, std::string(argv[i]).find('='));
    if (!word.starts_with("--") || std::find(flags.begin(), flags.end(), word) != flags.end()) continue;
    if (const auto near = nearest_name(word, flags)) hint = "; did you mean " + *near + "?";
  }
  return message + hint;
}

}  // namespace

Parsed parse_command_line(int argc, const char* const* argv) {
  CLI::App app{"loraxs: personal models at scale. Train, store, merge and export LoRA-XS adapters of a few kilobytes."};
  app.set_version_flag("--version", "loraxs 0.1.0");
  app.require_subcommand(1);
  app.set_help_all_flag("--help-all", "Help of every command");
  Command command;
  AllOf<Subcommands> all;
  all.add_to(app, command.common);
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp& help) {
    return {.command = std::nullopt, .exit_code = app.exit(help)};
  } catch (const CLI::CallForAllHelp& help) {
    return {.command = std::nullopt, .exit_code = app.exit(help)};
  } catch (const CLI::CallForVersion& version) {
    return {.command = std::nullopt, .exit_code = app.exit(version)};
  } catch (const CLI::ParseError& error) {
    if (argc == 1) {
      std::cerr << app.help();
    } else {
      std::cerr << "loraxs: " << safe_message(usage_error(app, error.what(), argc, argv)) << '\n';
    }
    return {.command = std::nullopt, .exit_code = 2};
  }
  command.options = all.chosen(app);
  return {.command = std::move(command)};
}

}  // namespace loraxs
