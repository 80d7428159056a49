#include "cli/subcommands/export.h"

#include <iostream>

#include "api/adapter_tools.h"
#include "commands/progress.h"
#include "commands/session.h"
#include "io/atomic_file.h"
#include "io/error.h"

namespace loraxs {

int run(const ExportOptions& options, const CommonOptions& common) {
  refuse_existing(options.out, "--out");
  if (!options.dtype.empty() && options.format != "loraxs") {
    throw Error(concat("--dtype: expected --format loraxs, whose rows may be rounded, found ", options.format));
  }
  const OpenedAdapter opened = open_adapter_of(options.adapter, common);
  Progress progress(stderr_log(common));
  progress.begin("exporting");
  OutputCheck check;
  if (options.dtype.empty()) {
    export_adapter(opened, options.format, options.out);
  } else {
    check = export_rounded(opened, options.dtype, options.out);
  }
  const auto size_of = [](const std::filesystem::path& file) {
    return human_bytes(static_cast<int64_t>(std::filesystem::file_size(file)));
  };
  const std::filesystem::path out = options.out;
  const auto row_bytes = static_cast<int64_t>(opened.file.row.size() * sizeof(float));  // a sum has no file
  const std::string own = " (the adapter's own numbers: " + human_bytes(row_bytes) + ")\n";
  const std::string rank = concat(" of rank ", opened.bank->layout->largest_rank(), ", ");
  if (options.format == "peft") {
    std::cout << options.out << ": PEFT LoRA" << rank << size_of(out / "adapter_model.safetensors") << own;
  } else if (options.format == "reference") {
    std::cout << options.out << ": A, B and R" << rank << size_of(out / "ft/adapter_model.safetensors") << own;
  } else if (options.dtype.empty()) {
    std::cout << options.out << ": " << size_of(out) << '\n';
  } else {
    std::cout << options.out << ": row in " << options.dtype << ", " << size_of(out) << own
              << "on random tokens logits differ by at most " << check.difference
              << " of the largest (the adapter itself changes them by " << check.effect << ")\n";
  }
  return 0;
}

}  // namespace loraxs
