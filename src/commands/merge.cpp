#include "adapt/merge.h"

#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>

#include "api/adapter_tools.h"
#include "cli/subcommands/merge.h"
#include "commands/progress.h"
#include "commands/session.h"
#include "io/atomic_file.h"
#include "io/error.h"
#include "io/gguf.h"
#include "text/tokenizer.h"

namespace loraxs {

int run(const MergeOptions& options, const CommonOptions& common) {
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
  const bool tokenizer = is_gguf_path(options.out) || has_tokenizer(options.out);
  if (!tokenizer && !common.quiet) {
    std::cerr << "loraxs: warning: "
              << safe_message(concat(options.out, ": has no tokenizer, as ", options.adapter.model,
                                     " has none; predict and generate need its files"))
              << '\n';
  }
  if (common.json) {
    std::cout << nlohmann::json({{"out", options.out},
                                 {"base_id", check.base_id},
                                 {"merged_against_adapted", check.outputs.difference},
                                 {"adapter_effect", check.outputs.effect},
                                 {"left_out", check.left_out},
                                 {"tokenizer", tokenizer}})
                     .dump()
              << '\n';
  } else {
    std::cout << options.out << ": merged; largest change of an output against the unmerged adapter "
              << check.outputs.difference << " (the adapter itself changes them by " << check.outputs.effect << ")\n";
  }
  return 0;
}

}  // namespace loraxs
