#include "cli/subcommands/key.h"

#include <CLI/CLI.hpp>

#include "cli/checks.h"

namespace loraxs {

void KeyOptions::add_to(CLI::App& app) {
  app.add_option("action", action,
                 "create FILE --tenant T: adds a key and prints it, this once; list FILE; revoke FILE ID: refused from "
                 "then on, within a second by servers that run")
      ->check(CLI::IsMember({"create", "list", "revoke"}))
      ->required();
  app.add_option("file", file, "The keys file of loraxs serve --keys; create makes it, for its owner alone")
      ->required();
  app.add_option("id", id, "revoke: of the key, as list shows it");
  app.add_option("--tenant", tenant, "create: whose adapters it opens");
  app.add_option("--rights", rights,
                 "create: infer (ask models; the default), manage (delete and pin the tenant's adapters), operate (see "
                 "every tenant's, and metrics)")
      ->check(CLI::IsMember({"infer", "manage", "operate"}));
  struct Bound {
    const char* name;
    int64_t& value;
    const char* help;
  };
  const Bound bounds[] = {
      {"--requests-per-minute", requests_per_minute, "create: of the tenant; 0: no bound"},
      {"--tokens-per-minute", tokens_per_minute, "create: of the tenant, of prompts and answers together; 0: no bound"},
      {"--bytes-per-minute", bytes_per_minute, "create: of the tenant, of requests' bodies; 0: no bound"},
      {"--streams", streams, "create: requests of the tenant at a time; 0: no bound"},
      {"--adapters", adapters,
       "create: different ones of the tenant's requests at a time, and kept in memory; 0: no bound"}};
  for (const Bound& bound : bounds) {
    app.add_option(bound.name, bound.value, bound.help)->check(at_least_zero())->capture_default_str();
  }
  app.add_option("--priority", priority, "create: requests of a higher one go first, -1000 to 1000")
      ->capture_default_str();
}

}  // namespace loraxs
