// cli/subcommands/serve.h: loraxs serve.
#pragma once
#include "cli/options.h"
#include "cli/subcommand.h"

namespace loraxs {

struct ServeOptions {
  static constexpr Subcommand kSubcommand = {
      .name = "serve",
      .help = "Answer over HTTP as any stored adapter, all in one batch (OpenAI's API)",
      .example = "loraxs serve --model models/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf --check"};
  AdapterOptions model;  // its adapter is left out: requests name them
  std::string store;     // URL; empty: the base, and adapters that come with requests

  std::string host = "127.0.0.1";
  int64_t port = 8000;  // 0: any, said when it listens
  std::string tls_certificate, tls_key;
  std::vector<std::string> trusted_proxies;
  std::string keys;        // file of loraxs key; empty: everybody may do everything
  bool no_auth = false;    // said where that is so beyond this machine
  std::string access_log;  // file, or "-": stderr; empty: none
  int64_t drain_seconds = 30;

  int64_t context = 0;  // tokens of prompt and answer; 0 = the model's own limit
  double memory_gb = 0;
  int64_t sequences = 64;
  int64_t max_waiting = 256;
  double gap_ms = 20;
  std::string share = "tenants";
  int64_t max_rank = 0;
  int64_t resident_mb = 256;
  int64_t resident_rows = 0;
  bool check = false;

  void add_to(CLI::App& app);
};

int run(const ServeOptions& options, const CommonOptions& common);

}  // namespace loraxs
