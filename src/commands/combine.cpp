#include "cli/subcommands/combine.h"

#include <iostream>

#include "api/adapter_tools.h"
#include "commands/session.h"
#include "io/atomic_file.h"
#include "store/reference.h"

namespace loraxs {

int run(const CombineOptions& options, const CommonOptions& common) {
  if (!is_store_url(options.out)) refuse_existing(options.out, "--out");
  const Settings settings = settings_of(common);
  const CombinedAdapters result =
      combine_files(open_model(options.model, settings), options.expression, options.head, options.out, settings);
  std::cout << options.out << ": " << result.opened.files.size() << " adapters combined, rank "
            << result.bank.layout->largest_rank() << ", " << result.bank.layout->sites.size() << " sites\n";
  return 0;
}

}  // namespace loraxs
