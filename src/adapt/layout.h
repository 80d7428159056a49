// adapt/layout.h: which segment of a row is which tensor.
#pragma once
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "model/architecture.h"

namespace loraxs {

/// One tensor inside a row.
struct LayoutSegment {
  std::string name;    // "layers.3.query.r", "head.classifier.weight"
  int64_t offset = 0;  // first element
  std::vector<int64_t> shape;
  bool head = false;
  int64_t numel() const;
};

/// The trained task head: "none", "output" (the output projection alone), "full" (what the reference trains: BERT's
/// classifier, both layers elsewhere) or "pooler" (BERT's pooler as well).
struct HeadLayout {
  std::string kind = "none";
  bool dense = false;       // the layer before the output projection is in the row too
  int64_t outputs = 0;      // logits per sequence; 1 for regression
  bool regression = false;  // a score; otherwise one output per class, named by each adapter for itself
  bool operator==(const HeadLayout&) const = default;
};

/// The head of `kind` on a family. Throws Error for a kind the family does not have.
HeadLayout make_head(const std::string& kind, int64_t outputs, bool regression, const Architecture& architecture,
                     const std::string& where);

/// What of a method's recipe, beside ranks, decides shapes and scale.
struct MethodOptions {
  bool rslora = false;           // scale alpha / √rank instead of alpha / rank
  int64_t vectors = 64;          // TinyLoRA: numbers of v
  bool tied = false;             // TinyLoRA: one v for all sites
  int64_t projection_seed = 42;  // TinyLoRA: of P
  bool operator==(const MethodOptions&) const = default;
};

/// An adapter's row, segment by segment: what sites share, sites in canonical order, then the head.
struct Layout {
  std::string method = "lora_xs";
  MethodOptions options;
  std::vector<Site> sites;
  std::vector<int64_t> ranks;  // per site; 0 where the method has no rank
  HeadLayout head;
  std::vector<LayoutSegment> segments;
  int64_t row_size = 0;         // numbers in a row
  int64_t adapter_numbers = 0;  // those that belong to sites: what papers count
  int64_t hidden_size = 0;

  const LayoutSegment* find(const std::string& name) const;
  /// A site's tensor: its own, or the one it shares; null if the method has none.
  const LayoutSegment* part(const Site& site, const std::string& name) const;
  bool adapts(const std::string& site) const;
  int64_t rank_of(const std::string& site) const;  // 0 where the site is not adapted
  int64_t largest_rank() const;
  bool operator==(const Layout& other) const;
};

/// Rows of `method` for these sites, all of one rank. Throws Error when rank exceeds a site's smaller width (naming
/// it) and the method has no use for that.
Layout make_layout(const std::string& method, const std::vector<Site>& sites, int64_t rank, const HeadLayout& head,
                   int64_t hidden_size, const std::string& where, const MethodOptions& options = {});
Layout make_layout(const std::string& method, const std::vector<Site>& sites, const std::vector<int64_t>& ranks,
                   const HeadLayout& head, int64_t hidden_size, const std::string& where,
                   const MethodOptions& options = {});

/// Compact form for file metadata: sites that follow the pattern modules × layers × one rank are written as such.
/// `labels`: names of the head's classes, one adapter's own.
nlohmann::json layout_to_json(const Layout& layout, const std::vector<std::string>& labels);
/// The names in that form; empty for a regression and where there is no head.
std::vector<std::string> labels_from_json(const nlohmann::json& json, const std::string& where);
/// Sites are resolved on the model; `where` starts errors.
Layout layout_from_json(const nlohmann::json& json, const Architecture& architecture, const ModelConfig& config,
                        const std::string& where);

}  // namespace loraxs
