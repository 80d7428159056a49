#include "cli/subcommands/store.h"

#include <CLI/CLI.hpp>

#include "cli/checks.h"

namespace loraxs {

void StoreOptions::add_to(CLI::App& app) {
  app.add_option(
         "action", action,
         "put URL#tenant/name FILE (URL#tenant/ FILE…: named by their stems); get URL#tenant/name[@version]; list "
         "URL[#tenant/begin]; delete URL#tenant/name[@version]; rollback URL#tenant/name@version; stat, verify, "
         "backup, compact URL; copy URL URL")
      ->check(
          CLI::IsMember({"put", "get", "list", "delete", "rollback", "stat", "verify", "copy", "backup", "compact"}))
      ->required();
  app.add_option("words", words, "What it is done to: URLs, references URL#tenant/name[@version], files")->required();
  app.add_option("--out", out, "get: adapter file to write; backup: folder to write");
  app.add_option("--dtype", dtype, "put: float32 (exact), bfloat16, or int8 with a scale per tensor")
      ->check(CLI::IsMember({"float32", "bfloat16", "int8"}))
      ->capture_default_str();
  app.add_option("--keep", keep, "put: versions of a name to keep at most; 0: all")
      ->check(whole_number_between(0, kMostRows))
      ->capture_default_str();
  app.add_option("--model", model, "put: the base, to print what rounding costs; stat: to print LoRA's size beside");
  app.add_flag("--versions", versions, "list: all versions of one name");
}

}  // namespace loraxs
