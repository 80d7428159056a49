// cli/subcommands/key.h: loraxs key.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "cli/options.h"
#include "cli/subcommand.h"

namespace loraxs {

struct KeyOptions {
  static constexpr Subcommand kSubcommand = {
      .name = "key",
      .help = "Keys of a server: who may ask it, for what and how much",
      .example = "loraxs key create keys.json --tenant anna --tokens-per-minute 100000",
      .opens_model = false};
  std::string action;               // create, list, revoke
  std::string file;                 // the keys file
  std::string id;                   // revoke: of the key
  std::string tenant;               // create
  std::vector<std::string> rights;  // create: infer, manage, operate; empty = infer
  // create: of the tenant; 0 = no bound.
  int64_t requests_per_minute = 0, tokens_per_minute = 0, bytes_per_minute = 0, streams = 0, adapters = 0;
  int64_t priority = 0;  // create: higher goes first

  void add_to(CLI::App& app);
};

int run(const KeyOptions& options, const CommonOptions& common);

}  // namespace loraxs
