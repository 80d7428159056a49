#include "cli/subcommands/unmerge.h"

#include <algorithm>
#include <iostream>

#include "adapt/merge.h"
#include "api/adapter_tools.h"
#include "commands/progress.h"
#include "commands/session.h"
#include "io/atomic_file.h"
#include "io/error.h"

namespace loraxs {

int run(const UnmergeOptions& options, const CommonOptions& common) {
  refuse_existing(options.out, "--out");
  refuse_inside(options.out, options.adapter.model, "--out");
  refuse_inside(options.out, options.merged, "--out");
  const OpenedAdapter opened = open_adapter_of(options.adapter, common);
  Progress progress(stderr_log(common));
  progress.begin("unmerging");
  const BaseModel merged = open_model(options.merged, settings_of(common));
  const BaseModel expected = merge_model(opened.model, *opened.basis, *opened.bank, 0);
  if (!options.subtract) {
    if (merged.base_id != expected.base_id && !opened.bank->layout->head.dense) {
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
  for (const Site& site : opened.bank->layout->sites) {
    worst = std::max(worst, largest_change(restored.site_weight(site).to(torch::kFloat64),
                                           opened.model.site_weight(site).to(torch::kFloat64)));
  }
  std::cout << options.out << ": subtracted; largest error of a weight against the base " << worst
            << " of the largest weight\n";
  return 0;
}

}  // namespace loraxs
