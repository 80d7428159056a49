#include "adapt/combine.h"

#include <algorithm>
#include <iostream>

#include "commands/commands.h"
#include "commands/session.h"
#include "io/error.h"

namespace loraxs {

int run_combine(const CombineOptions& options, const CommonOptions& common) {
  const std::vector<CombineTerm> terms = parse_combination(options.expression);
  const BaseModel model = load_base_model(options.model, cache_folder(common));
  std::vector<AdapterFile> files;
  std::vector<Layout> layouts;
  size_t largest = 0;
  for (const CombineTerm& term : terms) {
    files.push_back(read_adapter(term.name));
    layouts.push_back(resolve_layout(files.back(), model));
    BasisRecipe recipe = files.back().basis, widest = files[largest].basis;
    if (layouts.back().largest_rank() > layouts[largest].largest_rank()) largest = files.size() - 1;
    recipe.rank = widest.rank = 0;
    if (!(recipe == widest)) {
      throw Error(concat(term.name, ": expected an adapter on the same kind of basis as ", files[largest].path.string(),
                         ", found another variant; rows of different bases do not add"));
    }
  }
  // One basis for all: the widest, over every site that some adapter has; each adapter is checked against it.
  std::vector<Site> sites;
  for (const Layout& layout : layouts) {
    for (const Site& site : layout.sites) {
      if (std::find(sites.begin(), sites.end(), site) == sites.end()) sites.push_back(site);
    }
  }
  const auto basis = basis_for(model, sites, files[largest].basis, "", common);
  std::vector<Bank> banks;
  banks.reserve(files.size());
  for (size_t i = 0; i < files.size(); ++i) banks.push_back(open_adapter(files[i], layouts[i], *basis));
  std::vector<CombineInput> inputs;
  HeadRule head{.kind = options.head == "auto" || options.head == "none" ? options.head : "take"};
  bool found = head.kind != "take";
  for (size_t i = 0; i < terms.size(); ++i) {
    inputs.push_back({.bank = &banks[i], .row = 0, .weight = terms[i].weight});
    if (head.kind == "take" && terms[i].name == options.head) {
      head.take = i;
      found = true;
    }
  }
  if (!found)
    throw Error(concat("--head ", options.head, ": expected auto, none or one of the adapters in the expression"));
  const Bank result = combine(inputs, head);
  AdapterProvenance provenance = files[head.take].provenance;
  provenance.summary = "";
  write_adapter(options.out, result, 0, model, *basis, provenance);
  std::cout << options.out << ": " << terms.size() << " adapters combined, rank " << result.layout.largest_rank()
            << ", " << result.layout.sites.size() << " sites\n";
  return 0;
}

}  // namespace loraxs
