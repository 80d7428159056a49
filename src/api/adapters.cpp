#include "api/adapters.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <sstream>

#include "adapt/fresh_head.h"
#include "adapt/method.h"
#include "io/error.h"
#include "io/json.h"
#include "io/text_file.h"
#include "train/job.h"

namespace loraxs {
namespace {

/// NAME,WEIGHT lines by the adapters' names, divided by their sum.
std::map<std::string, double> read_weights(const std::string& path,
                                           const std::vector<std::filesystem::path>& adapters) {
  std::map<std::string, double> weights;
  std::istringstream lines(read_text_file(path));
  int64_t number = 0;
  double sum = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    if (line.empty()) continue;
    const size_t comma = line.rfind(',');
    char* end = nullptr;
    const double weight = comma == std::string::npos ? -1 : std::strtod(line.c_str() + comma + 1, &end);
    const bool is_number = end != nullptr && end != line.c_str() + comma + 1 && (*end == '\0' || *end == '\r');
    if (!is_number || !(weight >= 0) || !std::isfinite(weight)) {
      throw Error(concat(path, ":", number, ": expected NAME,WEIGHT with a weight ≥ 0, found ", line));
    }
    if (!weights.emplace(line.substr(0, comma), weight).second) {
      throw Error(concat(path, ":", number, ": ", line.substr(0, comma), ": stands twice"));
    }
    sum += weight;
  }
  for (const std::filesystem::path& adapter : adapters) {
    if (weights.contains(adapter.stem().string())) continue;
    throw Error(concat(path, ": expected a weight of ", adapter.stem().string(), ", found none"));
  }
  if (weights.size() != adapters.size() || !(sum > 0)) {
    throw Error(concat(path, ": expected weights of the ", adapters.size(), " adapters with a sum above 0, found ",
                       weights.size(), " with the sum ", sum));
  }
  for (auto& [name, weight] : weights) weight /= sum;
  return weights;
}

/// The key of the job whose fresh head this adapter's head started from; nothing where the file does not tell.
std::optional<uint64_t> head_key(const AdapterFile& file) {
  const auto summary = json_or_null(file.provenance.summary);
  if (!summary.is_object() || file.provenance.task.empty()) return {};
  const auto seed = summary.find("seed");
  if (seed == summary.end() || !seed->is_number_integer()) return {};
  const auto start = summary.find("start");
  if (start != summary.end() && !(start->is_object() && start->value("head", "") == "fresh")) return {};
  return job_key(seed->get<uint64_t>(), file.provenance.task);
}

/// h₀ of adapters whose heads are of one layout and started from one draw; undefined otherwise.
torch::Tensor common_start(const BaseModel& model, const OpenedAdapters& opened) {
  const HeadLayout& head = opened.banks.front()->layout.head;
  const std::optional<uint64_t> key = head_key(opened.files.front());
  if (!key || head.kind == "none") return {};
  for (size_t i = 0; i < opened.banks.size(); ++i) {
    if (head_key(opened.files[i]) != key || !(opened.banks[i]->layout.head == head)) return {};
  }
  return fresh_head(model, head, *key).values.select(0, 0);
}

}  // namespace

AdapterSet OpenedAdapters::set() const {
  AdapterSet adapters;
  for (const auto& bank : banks) {
    adapters.slots.push_back({.bank = static_cast<int64_t>(adapters.banks.size()), .row = 0});
    adapters.banks.push_back(bank);
  }
  return adapters;
}

OpenedAdapters open_adapters(const BaseModel& model, const std::vector<std::string>& paths, const OpenOptions& options,
                             const Settings& settings) {
  OpenedAdapters opened;
  if (paths.empty()) return opened;
  std::vector<Layout> layouts;
  std::optional<size_t> largest;  // of those that read a basis
  for (const std::string& path : paths) {
    opened.files.push_back(read_adapter(path));
    const AdapterFile& file = opened.files.back();
    layouts.push_back(resolve_layout(file, model, options.accept_base));
    const MethodTraits& traits = find_method(file.method, path).traits;
    if (traits.residual && paths.size() > 1) {
      throw Error(concat(path, ": expected adapters on the base as it is, found one of ", file.method,
                         ", which changes the base for all; open it alone"));
    }
    if (!traits.reads_basis) continue;
    const size_t index = opened.files.size() - 1;
    if (!largest) largest = index;
    BasisRecipe recipe = file.basis, widest = opened.files[*largest].basis;
    if (layouts.back().largest_rank() > layouts[*largest].largest_rank()) largest = index;
    recipe.rank = widest.rank = 0;
    if (!(recipe == widest)) {
      throw Error(concat(path, ": expected an adapter on the same kind of basis as ",
                         opened.files[*largest].path.string(),
                         ", found another variant; rows of different bases do not add"));
    }
  }
  std::vector<Site> sites;
  for (size_t i = 0; i < layouts.size(); ++i) {
    if (!reads_basis(opened.files[i])) continue;
    for (const Site& site : layouts[i].sites) {
      if (std::find(sites.begin(), sites.end(), site) == sites.end()) sites.push_back(site);
    }
  }
  opened.basis = largest ? basis_for(model, sites, opened.files[*largest].basis,
                                     basis_file_of(opened.files[*largest], options.basis_file), settings)
                         : std::make_shared<Basis>();
  for (size_t i = 0; i < layouts.size(); ++i) {
    opened.banks.push_back(std::make_shared<Bank>(open_adapter(opened.files[i], layouts[i], *opened.basis)));
  }
  return opened;
}

std::vector<CombineTerm> expand_means(const std::vector<CombineTerm>& terms) {
  std::vector<CombineTerm> expanded;
  for (const CombineTerm& term : terms) {
    if (!term.is_mean) {
      expanded.push_back(term);
      continue;
    }
    const std::vector<std::filesystem::path> adapters = adapters_in(term.name);
    std::map<std::string, double> weights;
    if (!term.mean_weights.empty()) weights = read_weights(term.mean_weights, adapters);
    for (const std::filesystem::path& adapter : adapters) {
      const double share =
          weights.empty() ? 1 / static_cast<double>(adapters.size()) : weights.at(adapter.stem().string());
      expanded.push_back({.weight = term.weight * share, .name = adapter.string()});
    }
  }
  return expanded;
}

CombinedAdapters combine_adapters(const BaseModel& model, const std::string& expression, const std::string& head,
                                  const OpenOptions& options, const Settings& settings) {
  const std::vector<CombineTerm> terms = expand_means(parse_combination(expression));
  std::vector<std::string> paths;
  paths.reserve(terms.size());
  for (const CombineTerm& term : terms) paths.push_back(term.name);
  CombinedAdapters combined{.opened = open_adapters(model, paths, options, settings)};
  std::vector<CombineInput> inputs;
  HeadRule rule{.kind = head == "auto" || head == "none" ? head : "take"};
  bool found = rule.kind != "take";
  for (size_t i = 0; i < terms.size(); ++i) {
    inputs.push_back({.bank = combined.opened.banks[i].get(), .row = 0, .weight = terms[i].weight});
    if (rule.kind == "take" && terms[i].name == head) {
      rule.take = i;
      found = true;
    }
  }
  if (!found) throw Error(concat("--head ", head, ": expected auto, none or one of the adapters in the expression"));
  combined.head = rule.take;
  if (rule.kind == "auto") rule.start = common_start(model, combined.opened);
  combined.bank = combine(inputs, rule);
  return combined;
}

}  // namespace loraxs
