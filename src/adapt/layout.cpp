#include "adapt/layout.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "adapt/method.h"
#include "io/error.h"

namespace loraxs {

int64_t LayoutSegment::numel() const {
  int64_t count = 1;
  for (const int64_t size : shape) count *= size;
  return count;
}

const LayoutSegment* Layout::find(const std::string& name) const {
  for (const LayoutSegment& segment : segments) {
    if (segment.name == name) return &segment;
  }
  return nullptr;
}

const LayoutSegment* Layout::part(const Site& site, const std::string& name) const {
  for (const std::string& full :
       {site.name + "." + name, "shared." + site.module + "." + name, std::string("shared.") + name}) {
    if (const LayoutSegment* segment = find(full)) return segment;
  }
  return nullptr;
}

bool Layout::adapts(const std::string& site) const {
  return std::any_of(sites.begin(), sites.end(), [&](const Site& s) { return s.name == site; });
}

int64_t Layout::rank_of(const std::string& site) const {
  for (size_t i = 0; i < sites.size(); ++i) {
    if (sites[i].name == site) return ranks[i];
  }
  return 0;
}

int64_t Layout::largest_rank() const { return ranks.empty() ? 0 : *std::max_element(ranks.begin(), ranks.end()); }

bool Layout::operator==(const Layout& other) const {
  return method == other.method && options == other.options && sites == other.sites && ranks == other.ranks &&
         head == other.head;
}

HeadLayout make_head(const std::string& kind, int64_t outputs, bool regression, const Architecture& architecture,
                     const std::string& where) {
  if (architecture.kind == ModelKind::kDecoder && kind != "none") {
    throw Error(concat(where, ": head: expected none for ", architecture.model_type, ", a decoder, found ", kind));
  }
  const bool pretrained = architecture.head.dense_pretrained;
  if (kind == "pooler" && !pretrained) {
    throw Error(concat(where, ": head: expected full, output or none for ", architecture.model_type,
                       ", which has no pretrained pooler, found pooler; full trains both layers of its head"));
  }
  return {.kind = kind,
          .dense = kind == "pooler" || (kind == "full" && !pretrained),
          .outputs = outputs,
          .regression = regression};
}

Layout make_layout(const std::string& method_name, const std::vector<Site>& sites, int64_t rank, const HeadLayout& head,
                   int64_t hidden_size, const std::string& where, const MethodOptions& options) {
  return make_layout(method_name, sites, std::vector<int64_t>(sites.size(), rank), head, hidden_size, where, options);
}

Layout make_layout(const std::string& method_name, const std::vector<Site>& sites, const std::vector<int64_t>& ranks,
                   const HeadLayout& head, int64_t hidden_size, const std::string& where,
                   const MethodOptions& options) {
  const Method& method = find_method(method_name, where);
  Layout layout{.method = method_name,
                .options = options,
                .sites = sites,
                .ranks = ranks,
                .head = head,
                .hidden_size = hidden_size};
  if (method.traits.owns_weight) layout.ranks.assign(sites.size(), 0);
  for (size_t i = 0; i < sites.size() && !method.traits.owns_weight; ++i) {
    const int64_t width = std::min(sites[i].in_features, sites[i].out_features);
    const int64_t most = method.traits.any_rank ? kMostWidth : width;
    if (ranks[i] >= 1 && ranks[i] <= most) continue;
    throw Error(concat(where, ": method.rank: expected 1 to ", most, " (",
                       method.traits.any_rank ? "" : "the smaller width of ", sites[i].name, "), found ", ranks[i]));
  }
  constexpr int64_t kMostNumbers = int64_t{1} << 40;  // 4 TB: full fine-tuning of the largest models
  const auto add = [&](LayoutSegment segment) {
    segment.offset = layout.row_size;
    // Ranks, outputs and options come from recipes and files: what a row may hold is checked before anything is made.
    int64_t numbers = 1;
    bool fits = true;
    for (const int64_t size : segment.shape) {
      fits = fits && size >= 0 && !__builtin_mul_overflow(numbers, size, &numbers) && numbers <= kMostNumbers;
    }
    if (!fits || layout.row_size > kMostNumbers - numbers) {
      throw Error(
          concat(where, ": ", segment.name, ": expected at most ", kMostNumbers, " numbers in a row, found more"));
    }
    layout.row_size += numbers;
    layout.segments.push_back(std::move(segment));
  };
  if (method.shared != nullptr && !sites.empty()) {
    if (std::adjacent_find(ranks.begin(), ranks.end(), std::not_equal_to<>()) != ranks.end()) {
      throw Error(concat(where, ": method.rank_pattern: expected one rank for ", method_name,
                         ", whose sites share tensors, found several"));
    }
    for (LayoutSegment& segment : method.shared(sites, ranks.front(), options)) add(std::move(segment));
  }
  for (size_t i = 0; i < sites.size(); ++i) {
    for (LayoutSegment segment : method.segments(sites[i], layout.ranks[i], options)) {
      segment.name = sites[i].name + "." + segment.name;
      add(std::move(segment));
    }
  }
  layout.adapter_numbers = layout.row_size;
  if (head.kind == "none") return layout;
  if (head.dense) {
    add({.name = "head.dense.weight", .shape = {hidden_size, hidden_size}, .head = true});
    add({.name = "head.dense.bias", .shape = {hidden_size}, .head = true});
  }
  add({.name = "head.classifier.weight", .shape = {head.outputs, hidden_size}, .head = true});
  add({.name = "head.classifier.bias", .shape = {head.outputs}, .head = true});
  return layout;
}

namespace {

/// The sites as modules × layers, if they are exactly such a product of one rank.
bool is_product(const Layout& layout, std::vector<std::string>& modules, std::vector<int64_t>& layers) {
  std::set<int64_t> layer_set;
  for (const Site& site : layout.sites) {
    layer_set.insert(site.layer);
    if (std::find(modules.begin(), modules.end(), site.module) == modules.end()) modules.push_back(site.module);
  }
  layers.assign(layer_set.begin(), layer_set.end());
  const bool one_rank =
      std::all_of(layout.ranks.begin(), layout.ranks.end(), [&](int64_t rank) { return rank == layout.ranks.front(); });
  return one_rank && layout.sites.size() == modules.size() * layers.size();
}

nlohmann::json options_to_json(const MethodOptions& options) {
  return {{"rslora", options.rslora},
          {"vectors", options.vectors},
          {"tied", options.tied},
          {"projection_seed", options.projection_seed}};
}

MethodOptions options_from_json(Fields fields) {
  MethodOptions options;
  options.rslora = fields.boolean("rslora", options.rslora);
  options.vectors = fields.positive_int("vectors", options.vectors);
  options.tied = fields.boolean("tied", options.tied);
  options.projection_seed = fields.non_negative_int("projection_seed", options.projection_seed);
  fields.finish();
  return options;
}

/// Regression has no names of classes, which files say as [].
std::vector<std::string> read_labels(Fields& fields) {
  return fields.raw("labels").empty() ? std::vector<std::string>() : fields.strings("labels", {});
}

}  // namespace

nlohmann::json layout_to_json(const Layout& layout, const std::vector<std::string>& labels) {
  nlohmann::json json = {{"method", layout.method}, {"head", layout.head.kind}};
  if (layout.head.kind != "none") {
    json["outputs"] = layout.head.outputs;
    json["labels"] = labels;
  }
  std::vector<std::string> modules;
  std::vector<int64_t> layers;
  if (is_product(layout, modules, layers)) {
    json["modules"] = modules;
    const bool consecutive = layers.back() - layers.front() + 1 == static_cast<int64_t>(layers.size());
    json["layers"] = consecutive ? nlohmann::json(concat(layers.front(), "-", layers.back())) : nlohmann::json(layers);
    if (layout.ranks.front() > 0) json["rank"] = layout.ranks.front();
  } else {
    nlohmann::json sites = nlohmann::json::object();
    for (size_t i = 0; i < layout.sites.size(); ++i) sites[layout.sites[i].name] = layout.ranks[i];
    json["sites"] = sites;
  }
  if (!(layout.options == MethodOptions{})) json["options"] = options_to_json(layout.options);
  return json;
}

std::vector<std::string> labels_from_json(const nlohmann::json& json, const std::string& where) {
  Fields fields(json, where, "layout");
  return read_labels(fields);
}

Layout layout_from_json(const nlohmann::json& json, const Architecture& architecture, const ModelConfig& config,
                        const std::string& where) {
  Fields fields(json, where, "layout");
  const std::string method = fields.text("method", "");
  const std::string head_kind = fields.choice("head", "none", {"none", "output", "full", "pooler"});
  const int64_t outputs = fields.non_negative_int("outputs", 0);
  const std::vector<std::string> labels = read_labels(fields);
  const HeadLayout head = make_head(head_kind, outputs, head_kind != "none" && labels.empty(), architecture, where);
  if (head.kind != "none" &&
      (head.outputs < 1 || (!labels.empty() && static_cast<int64_t>(labels.size()) != head.outputs))) {
    fields.fail("outputs", concat("expected one per label (", labels.size(), "), found ", head.outputs));
  }
  const std::vector<Site> all = list_sites(architecture, config);
  std::vector<Site> sites;
  std::vector<int64_t> ranks;
  if (fields.has("sites")) {
    const nlohmann::json named = fields.raw("sites");
    if (!named.is_object()) fields.fail("sites", "expected an object of site names and ranks");
    for (const Site& site : all) {
      const auto found = named.find(site.name);
      if (found == named.end()) continue;
      if (!found->is_number_integer()) fields.fail("sites", "expected integer ranks");
      sites.push_back(site);
      ranks.push_back(found->get<int64_t>());
    }
    if (sites.size() != named.size()) fields.fail("sites", "names a projection that this model does not have");
  } else {
    const std::vector<std::string> modules = fields.strings("modules", {});
    const int64_t rank = fields.non_negative_int("rank", 0);
    const nlohmann::json layers_json = fields.raw("layers");
    std::set<int64_t> layers;
    if (layers_json.is_string()) {
      long first = 0, last = -1;
      char dash = 0;
      std::istringstream range(layers_json.get<std::string>());
      if (!(range >> first >> dash >> last) || dash != '-' || first < 0 || last < first ||
          last >= config.num_hidden_layers) {
        fields.fail("layers",
                    concat("expected \"FIRST-LAST\" below ", config.num_hidden_layers, ", found ", layers_json.dump()));
      }
      for (long layer = first; layer <= last; ++layer) layers.insert(layer);
    } else if (layers_json.is_array()) {
      for (const auto& layer : layers_json) {
        if (!layer.is_number_integer()) fields.fail("layers", "expected integers");
        layers.insert(layer.get<int64_t>());
      }
    } else {
      fields.fail("layers", "expected a range or a list");
    }
    for (const Site& site : all) {
      if (!layers.contains(site.layer)) continue;
      if (std::find(modules.begin(), modules.end(), site.module) == modules.end()) continue;
      sites.push_back(site);
      ranks.push_back(rank);
    }
    if (sites.size() != modules.size() * layers.size()) {
      fields.fail("modules", "names a projection that this model does not have");
    }
  }
  MethodOptions options;
  if (fields.has("options")) options = options_from_json(fields.object("options"));
  fields.finish();
  return make_layout(method, sites, ranks, head, config.hidden_size, where, options);
}

}  // namespace loraxs
