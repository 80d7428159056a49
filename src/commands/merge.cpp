#include "adapt/merge.h"

#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>

#include "api/adapter_tools.h"
#include "commands/commands.h"
#include "commands/progress.h"
#include "commands/session.h"
#include "io/atomic_file.h"
#include "io/error.h"

namespace loraxs {

int run_merge(const MergeOptions& options, const CommonOptions& common) {
  refuse_existing(options.out, "--out");
  refuse_inside(options.out, options.adapter.model, "--out");
  const OpenedAdapter opened = open_adapter_of(options.adapter, common);
  std::optional<Progress> progress(std::in_place, stderr_log(common));
  progress->begin("merging");
  const MergeCheck check = merge_to(opened, options.out, options.dtype);
  progress.reset();
  if (!check.left_out.empty() && !common.quiet) {
    std::string names;
    for (const std::string& name : check.left_out) names += (names.empty() ? "" : ", ") + name;
    std::cerr << "loraxs: " << safe_message(concat(options.out, ": left out ", names))
              << "; the base's weights for other "
              << "programs, in which the adapter is not merged\n";
  }
  if (common.json) {
    std::cout << nlohmann::json({{"out", options.out},
                                 {"base_id", check.base_id},
                                 {"merged_against_adapted", check.outputs.difference},
                                 {"adapter_effect", check.outputs.effect},
                                 {"left_out", check.left_out}})
                     .dump()
              << '\n';
  } else {
    std::cout << options.out << ": merged; largest change of an output against the unmerged adapter "
              << check.outputs.difference << " (the adapter itself changes them by " << check.outputs.effect << ")\n";
  }
  return 0;
}

int run_unmerge(const UnmergeOptions& options, const CommonOptions& common) {
  refuse_existing(options.out, "--out");
  refuse_inside(options.out, options.adapter.model, "--out");
  refuse_inside(options.out, options.merged, "--out");
  const OpenedAdapter opened = open_adapter_of(options.adapter, common);
  Progress progress(stderr_log(common));
  progress.begin("unmerging");
  const BaseModel merged = open_model(options.merged, settings_of(common));
  const BaseModel expected = merge_model(opened.model, *opened.basis, *opened.bank, 0);
  if (!options.subtract) {
    if (merged.base_id != expected.base_id && !opened.bank->layout.head.dense) {
      throw Error(concat(options.merged, ": expected ", options.adapter.model, " with ", options.adapter.adapter,
                         " merged in, found other weights; --subtract takes the update off whatever is there"));
    }
    copy_model_folder(opened.model.folder, options.out);
    std::cout << options.out << ": the kept base's own files, byte for byte\n";
    return 0;
  }
  const BaseModel restored = merge_model(merged, *opened.basis, *opened.bank, 0, /*sign=*/-1);
  write_model_folder(options.out, restored, nullptr, 0);
  double worst = 0;
  for (const Site& site : opened.bank->layout.sites) {
    worst = std::max(worst, largest_change(restored.site_weight(site).to(torch::kFloat64),
                                           opened.model.site_weight(site).to(torch::kFloat64)));
  }
  std::cout << options.out << ": subtracted; largest error of a weight against the base " << worst
            << " of the largest weight\n";
  return 0;
}

}  // namespace loraxs
