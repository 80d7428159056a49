#include "adapt/basis.h"

#include <algorithm>
#include <chrono>
#include <iostream>
#include <nlohmann/json.hpp>

#include "cli/subcommands/basis.h"
#include "commands/session.h"
#include "io/atomic_file.h"
#include "io/error.h"

namespace loraxs {

int run(const BasisOptions& options, const CommonOptions& common) {
  if (!options.out.empty()) refuse_existing(options.out, "--out");
  const BaseModel model = open_model(options.model, settings_of(common));
  const std::vector<Site> sites = select_sites(*model.architecture, model.config, options.targets, "command line");
  const BasisRecipe recipe{.rank = options.rank,
                           .variant = options.variant,
                           .vectors = options.vectors,
                           .sigma = !options.no_sigma,
                           .seed = options.seed};
  const auto start = std::chrono::steady_clock::now();
  Basis basis;
  if (options.out.empty()) {
    basis = *basis_for(model, sites, recipe, {}, settings_of(common));
    if (basis.path.empty()) throw Error("basis: expected a cache folder that can be written; choose a file by --out");
  } else {
    basis = compute_basis(
        sites, [&](const Site& site) { return model.site_weight(site); }, model.base_id, recipe, stderr_log(common));
    write_basis(options.out, basis);
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  double worst = 0;
  for (const auto& [site, residual] : basis.residuals) worst = std::max(worst, residual);
  if (common.json) {
    std::cout << nlohmann::json({{"path", basis.path.string()},
                                 {"basis_id", basis.basis_id},
                                 {"base_id", basis.base_id},
                                 {"sites", basis.sites.size()},
                                 {"rank", recipe.rank},
                                 {"largest_residual", worst},
                                 {"seconds", seconds},
                                 {"bytes", std::filesystem::file_size(basis.path)}})
                     .dump()
              << '\n';
  } else {
    std::cout << basis.path.string() << "\nbasis " << basis.basis_id.substr(0, 16) << ": " << basis.sites.size()
              << " sites, rank " << recipe.rank << ", "
              << human_bytes(static_cast<int64_t>(std::filesystem::file_size(basis.path))) << ", largest residual "
              << worst << " of the largest singular value, " << seconds << " s\n";
  }
  return 0;
}

}  // namespace loraxs
