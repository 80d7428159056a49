#include "cli/subcommands/serve.h"

#include <CLI/CLI.hpp>

#include "cli/checks.h"

namespace loraxs {

void ServeOptions::add_to(CLI::App& app) {
  constexpr int kPorts = 65535;
  model.add_model(app);
  app.add_option("--store", store, "Store whose adapters are served: lmdb:///folder or postgresql://…");
  app.add_option("--host", host, "Address to listen at; beyond this machine it needs --keys or --no-auth")
      ->capture_default_str();
  app.add_option("-p,--port", port, "0 = any that is free, which is said")
      ->check(whole_number_between(0, kPorts))
      ->capture_default_str();
  app.add_option("--tls-cert", tls_certificate, "PEM file: the certificate, and those that sign it");
  app.add_option("--tls-key", tls_key, "PEM file: its key");
  app.add_option("--trusted-proxy", trusted_proxies,
                 "Address, or network as 10.0.0.0/8, of a proxy whose X-Forwarded-For or Forwarded tells who asks; may "
                 "be repeated; others' are not read");
  app.add_option("--keys", keys, "File of keys and tenants (loraxs key)");
  app.add_flag("--no-auth", no_auth, "Without --keys: everybody who reaches the address may do everything");
  app.add_option("--access-log", access_log, "File of a JSON line for each request, without texts; - = stderr");
  app.add_option("--drain-seconds", drain_seconds, "After SIGTERM, how long answers under way may take")
      ->check(count_from(0))
      ->capture_default_str();
  app.add_option("-c,--context", context, "Tokens of prompt and answer together; 0 = as many as the model takes")
      ->check(tokens_from(0));
  app.add_option("--memory-gb", memory_gb, "GiB the process may take: bounds the cache of keys and values")
      ->check(gibibytes());
  app.add_option("--sequences", sequences, "Answers computed together")->check(count_from(1))->capture_default_str();
  app.add_option("--max-waiting", max_waiting, "Requests of one tenant under way; more are 429")
      ->check(count_from(1))
      ->capture_default_str();
  app.add_option(
         "--gap-ms", gap_ms,
         "How long answers may pause for others' prompts, or twice a step without them; 0 = as long as it takes")
      ->check(number_between(0, kMostCount))
      ->capture_default_str();
  app.add_option(
         "--share", share,
         "Between whom steps are shared: tenants = one's many answers hardly slow another's few; requests = all "
         "go at one pace")
      ->check(CLI::IsMember({"tenants", "requests"}))
      ->capture_default_str();
  app.add_option("--max-rank", max_rank, "Room for LoRA-XS of this rank on all linear modules, stored now or later")
      ->check(count_from(0));
  app.add_option("--resident-mb", resident_mb, "Rows in memory, of each layout")
      ->check(whole_number_between(1, kMostRows))
      ->capture_default_str();
  app.add_option("--resident-rows", resident_rows, "The same as a number of rows; 0 = as --resident-mb has it")
      ->check(whole_number_between(0, kMostRows));
  app.add_flag("--check", check, "Open everything, answer one request, say what was found, and end");
}

}  // namespace loraxs
