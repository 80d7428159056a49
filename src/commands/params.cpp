#include <algorithm>
#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>

#include "adapt/counts.h"
#include "commands/commands.h"
#include "commands/session.h"
#include "io/error.h"

namespace loraxs {
namespace {

/// Numbers of a dense head layer and its bias.
int64_t count_dense(const ModelConfig& c) { return (c.hidden_size + 1) * c.hidden_size; }

/// What `head: full` trains; decoders have no head of their own.
int64_t count_head(const ParsedConfig& parsed, int64_t labels) {
  if (parsed.architecture->kind == ModelKind::kDecoder) return 0;
  const ModelConfig& c = parsed.config;
  return (c.hidden_size + 1) * labels + (parsed.architecture->head.dense_pretrained ? 0 : count_dense(c));
}

}  // namespace

int run_params(const ParamsOptions& options, const CommonOptions& common) {
  const ParsedConfig parsed = read_model_config(options.model, settings_of(common).reading);
  const std::vector<Site> sites = select_sites(*parsed.architecture, parsed.config, options.targets, "command line");
  if (options.list) {
    for (const Site& site : sites) {
      if (common.json) {
        std::cout << nlohmann::json({{"site", site.name},
                                     {"hf_name", site.hf_name},
                                     {"in_features", site.in_features},
                                     {"out_features", site.out_features}})
                         .dump()
                  << '\n';
      } else {
        std::printf("%-28s %-50s %6ld -> %ld\n", site.name.c_str(), site.hf_name.c_str(), site.in_features,
                    site.out_features);
      }
    }
    return 0;
  }
  const int64_t head = count_head(parsed, options.labels), full = count_model(*parsed.architecture, parsed.config);
  if (!common.json) {
    std::printf("%ld adapted projections; full fine-tuning %ld numbers", static_cast<long>(sites.size()), full);
    if (head > 0) {
      std::printf("; head of %ld labels %ld numbers (in every file, counted apart)", options.labels, head);
    }
    std::printf("\n");
    std::printf("%5s %12s %12s %12s %12s %14s %14s\n", "rank", "LoRA-XS", "file bytes", "LoRA", "LoRA bytes",
                "VeRA (r=256)", "basis bytes");
  }
  constexpr int64_t kVeraRank = 256, kFloat = 4;
  for (const int64_t rank : options.ranks) {
    for (const Site& site : sites) {
      const int64_t width = std::min(site.in_features, site.out_features);
      if (rank < 1 || rank > width)
        throw Error(concat("--rank: expected 1 to ", width, " (the smaller width of ", site.name, "), found ", rank));
    }
    const int64_t xs = count_lora_xs(sites, rank), lora = count_lora(sites, rank), vera = count_vera(sites, kVeraRank),
                  basis = count_basis(sites, rank) * kFloat;
    if (common.json) {
      std::cout << nlohmann::json({{"rank", rank},
                                   {"sites", sites.size()},
                                   {"lora_xs", xs},
                                   {"lora_xs_row_bytes", (xs + head) * kFloat},
                                   {"lora", lora},
                                   {"lora_bytes", lora * kFloat},
                                   {"vera", vera},
                                   {"vera_rank", kVeraRank},
                                   {"vera_bytes", vera * kFloat},
                                   {"full", full},
                                   {"full_bytes", full * kFloat},
                                   {"head", head},
                                   {"basis_bytes", basis}})
                       .dump()
                << '\n';
    } else {
      std::printf("%5ld %12ld %12ld %12ld %12ld %14ld %14ld\n", rank, xs, (xs + head) * kFloat, lora, lora * kFloat,
                  vera, basis);
    }
  }
  return 0;
}

}  // namespace loraxs
