#include "api/adapters.h"

#include <algorithm>
#include <optional>

#include "adapt/combine.h"
#include "adapt/method.h"
#include "io/error.h"

namespace loraxs {

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
  opened.basis = largest ? basis_for(model, sites, opened.files[*largest].basis, options.basis_file, settings)
                         : std::make_shared<Basis>();
  for (size_t i = 0; i < layouts.size(); ++i) {
    opened.banks.push_back(std::make_shared<Bank>(open_adapter(opened.files[i], layouts[i], *opened.basis)));
  }
  return opened;
}

CombinedAdapters combine_adapters(const BaseModel& model, const std::string& expression, const std::string& head,
                                  const OpenOptions& options, const Settings& settings) {
  const std::vector<CombineTerm> terms = parse_combination(expression);
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
  combined.bank = combine(inputs, rule);
  return combined;
}

}  // namespace loraxs
