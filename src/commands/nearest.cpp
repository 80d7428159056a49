#include "cli/subcommands/nearest.h"

#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>

#include "api/sweep.h"
#include "commands/session.h"
#include "io/printable.h"

namespace loraxs {

int run(const NearestOptions& options, const CommonOptions& common) {
  const Settings settings = settings_of(common);
  std::vector<Neighbour> neighbours =
      nearest_adapters(open_model(options.adapter.model, settings), options.adapter.adapter, options.folder,
                       open_options_of(options.adapter), settings);
  const auto first_failed =
      std::find_if(neighbours.begin(), neighbours.end(), [](const Neighbour& each) { return !each.error.empty(); });
  const bool failed = first_failed != neighbours.end();
  for (auto each = first_failed; each != neighbours.end(); ++each)
    std::cerr << "loraxs: " << safe_message(each->error) << '\n';
  neighbours.erase(first_failed, neighbours.end());
  if (options.top > 0 && neighbours.size() > static_cast<size_t>(options.top)) {
    neighbours.resize(static_cast<size_t>(options.top));
  }
  if (!common.json) std::cout << "| adapter | distance of ΔW | cosine |\n|---|---|---|\n";
  for (const Neighbour& each : neighbours) {
    if (common.json) {
      std::cout << nlohmann::json(
                       {{"adapter", each.path.string()}, {"distance", each.distance}, {"cosine", each.cosine}})
                       .dump()
                << '\n';
    } else {
      std::cout << "| " << each.path.string() << " | " << each.distance << " | " << each.cosine << " |\n";
    }
  }
  return failed ? 2 : 0;
}

}  // namespace loraxs
