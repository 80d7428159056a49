#include "adapt/combine.h"

#include <iostream>

#include "api/adapter_tools.h"
#include "commands/commands.h"
#include "commands/session.h"

namespace loraxs {

int run_combine(const CombineOptions& options, const CommonOptions& common) {
  const size_t num_adapters = parse_combination(options.expression).size();
  const Settings settings = settings_of(common);
  const Bank result =
      combine_files(open_model(options.model, settings), options.expression, options.head, options.out, settings);
  std::cout << options.out << ": " << num_adapters << " adapters combined, rank " << result.layout.largest_rank()
            << ", " << result.layout.sites.size() << " sites\n";
  return 0;
}

}  // namespace loraxs
