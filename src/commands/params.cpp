#include "cli/subcommands/params.h"

#include <algorithm>
#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>

#include "adapt/counts.h"
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

int64_t width(const Site& site) { return std::min(site.in_features, site.out_features); }

double ratio(int64_t numbers, int64_t of) { return static_cast<double>(numbers) / static_cast<double>(of); }

/// The site of the smallest width, which bounds the rank.
const Site& narrowest(const std::vector<Site>& sites) {
  return *std::min_element(sites.begin(), sites.end(),
                           [](const Site& x, const Site& y) { return width(x) < width(y); });
}

/// The ranks that were asked for, or else those of the paper's tables that every site takes.
std::vector<int64_t> ranks_of(const ParamsOptions& options, const Site& bounding) {
  for (const int64_t rank : options.ranks) {
    if (rank > width(bounding)) {
      throw Error(concat("--rank: expected 1 to ", width(bounding), " (the smaller width of ", bounding.name,
                         "), found ", rank));
    }
  }
  if (!options.ranks.empty()) return options.ranks;
  std::vector<int64_t> ranks;
  for (const int64_t rank : {4, 8, 12, 16, 20, 25}) {
    if (rank <= width(bounding)) ranks.push_back(rank);
  }
  return ranks.empty() ? std::vector{width(bounding)} : ranks;
}

/// The formulas behind the ratios, and the paper's own arithmetic of storage (Bałazy et al., section 1): GPT-3's query
/// and value at rank 16 in 16 bit.
void print_notes() {
  constexpr int64_t kWidth = 12288, kLayers = 96, kRank = 16, kHalf = 2, kMillion = 1'000'000;
  const std::vector<Site> gpt3(2 * kLayers, Site{.in_features = kWidth, .out_features = kWidth});
  const int64_t xs = count_lora_xs(gpt3, kRank) * kHalf, lora = count_lora(gpt3, kRank) * kHalf;
  constexpr int64_t kKiB = 1024;
  std::printf(
      "for square projections of width n: LoRA / LoRA-XS = 2n/r, VeRA / LoRA-XS = (n + r)/r^2 at one rank r\n"
      "GPT-3 (n = %ld, %ld layers, query and value, r = %ld, 16 bit): LoRA %ld MiB, LoRA-XS %ld KiB a model, %.0f "
      "to 1; a million models take %.0f TB and %.0f GB\n",
      kWidth, kLayers, kRank, lora / kKiB / kKiB, xs / kKiB, ratio(lora, xs),
      static_cast<double>(lora * kMillion) / 1e12, static_cast<double>(xs * kMillion) / 1e9);
}

}  // namespace

int run(const ParamsOptions& options, const CommonOptions& common) {
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
  const std::vector<int64_t> ranks = ranks_of(options, narrowest(sites));
  const int64_t head = count_head(parsed, options.labels), full = count_model(*parsed.architecture, parsed.config);
  if (!common.json) {
    std::printf("%ld adapted projections; full fine-tuning %ld numbers", static_cast<long>(sites.size()), full);
    if (head > 0) {
      std::printf("; head of %ld labels %ld numbers (in every file, counted apart)", options.labels, head);
    }
    std::printf("\n");
    std::printf("%5s %12s %12s %12s %12s %9s %12s %9s %14s\n", "rank", "LoRA-XS", "file bytes", "16-bit bytes", "LoRA",
                "/ LoRA-XS", concat("VeRA r=", options.vera_rank).c_str(), "/ LoRA-XS", "basis bytes");
  }
  constexpr int64_t kFloat = 4, kHalf = 2;
  for (const int64_t rank : ranks) {
    const int64_t xs = count_lora_xs(sites, rank), lora = count_lora(sites, rank),
                  vera = count_vera(sites, options.vera_rank), basis = count_basis(sites, rank) * kFloat;
    const double lora_ratio = ratio(lora, xs), vera_ratio = ratio(vera, xs);
    if (common.json) {
      std::cout << nlohmann::json({{"rank", rank},
                                   {"sites", sites.size()},
                                   {"lora_xs", xs},
                                   {"lora_xs_row_bytes", (xs + head) * kFloat},
                                   {"lora_xs_row_bytes_16_bit", (xs + head) * kHalf},
                                   {"lora", lora},
                                   {"lora_bytes", lora * kFloat},
                                   {"lora_bytes_16_bit", lora * kHalf},
                                   {"lora_ratio", lora_ratio},
                                   {"vera", vera},
                                   {"vera_rank", options.vera_rank},
                                   {"vera_bytes", vera * kFloat},
                                   {"vera_bytes_16_bit", vera * kHalf},
                                   {"vera_ratio", vera_ratio},
                                   {"full", full},
                                   {"full_bytes", full * kFloat},
                                   {"head", head},
                                   {"basis_bytes", basis}})
                       .dump()
                << '\n';
    } else {
      std::printf("%5ld %12ld %12ld %12ld %12ld %9.4g %12ld %9.4g %14ld\n", rank, xs, (xs + head) * kFloat,
                  (xs + head) * kHalf, lora, lora_ratio, vera, vera_ratio, basis);
    }
  }
  if (!common.json) print_notes();
  return 0;
}

}  // namespace loraxs
