// cli/subcommands/store.h: loraxs store.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "cli/options.h"
#include "cli/subcommand.h"

namespace loraxs {

struct StoreOptions {
  static constexpr Subcommand kSubcommand = {
      .name = "store",
      .help = "Adapters of many tenants in one store: lmdb:///folder or postgresql://host/database",
      .example = "loraxs store put lmdb://adapters.store#anna/tickets runs/classification/seed-0/best.safetensors"};
  std::string action;              // put, get, list, delete, rollback, stat, verify, copy, backup, compact
  std::vector<std::string> words;  // what it is done to: references, URLs, files
  std::string out;                 // get: file; backup: folder
  std::string dtype = "float32";   // put: float32, bfloat16, int8
  int64_t keep = 0;                // put: versions of a name at most; 0 = all
  std::string model;               // put: to print what rounding costs; stat: to print LoRA's size
  bool versions = false;           // list: those of one name

  void add_to(CLI::App& app);
};

int run(const StoreOptions& options, const CommonOptions& common);

}  // namespace loraxs
