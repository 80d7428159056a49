#include "cli/subcommands/combine.h"

#include <iostream>

#include "api/adapter_tools.h"
#include "commands/session.h"

namespace loraxs {

int run(const CombineOptions& options, const CommonOptions& common) {
  refuse_sum_at(options.out);
  const Settings settings = settings_of(common);
  const auto [result, written] =
      combine_files(open_model(options.model, settings), options.expression, options.head, options.out, settings);
  std::cout << written << ": " << result.opened.files.size() << " adapters combined, rank "
            << result.bank.layout->largest_rank() << ", " << result.bank.layout->sites.size() << " sites\n";
  return 0;
}

}  // namespace loraxs
