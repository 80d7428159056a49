#include "api/convert.h"

#include <iostream>
#include <nlohmann/json.hpp>

#include "api/opened_adapter.h"
#include "cli/subcommands/convert.h"
#include "commands/progress.h"
#include "commands/session.h"
#include "io/atomic_file.h"
#include "io/error.h"

namespace loraxs {

int run(const ConvertOptions& options, const CommonOptions& common) {
  refuse_existing(options.out, "--out");
  Progress progress(stderr_log(common));
  progress.begin("loading");
  const BaseModel model = open_model(options.model, settings_of(common));
  progress.begin("converting");
  const Conversion made = convert_model(model, options.out, options.dtype);
  if (common.json) {
    std::cout << nlohmann::json({{"out", options.out},
                                 {"base_id", made.base_id},
                                 {"from_base_id", model.base_id},
                                 {"same_numbers", made.same_numbers},
                                 {"logits_difference", made.difference},
                                 {"notes", made.notes}})
                     .dump()
              << '\n';
    return 0;
  }
  std::cout << options.out << ": written; on random tokens logits differ by at most " << made.difference
            << " of the largest\n";
  for (const std::string& note : made.notes) std::cout << printable(note) << '\n';
  constexpr size_t kShown = 16;
  std::cout << "base_id " << made.base_id.substr(0, kShown) << ", of " << options.model << " "
            << model.base_id.substr(0, kShown) << ": an adapter trained on one is refused on the other, unless ";
  std::cout << (made.same_numbers ? "--accept-base is given: the numbers are the same, and so are their bases\n"
                                  : "--accept-base is given and the bases agree: the numbers were rounded\n");
  return 0;
}

}  // namespace loraxs
