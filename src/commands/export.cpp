#include <iostream>

#include "adapt/exchange/peft.h"
#include "commands/commands.h"
#include "commands/session.h"
#include "io/atomic_file.h"
#include "io/error.h"
#include "io/mapped_file.h"

namespace loraxs {

int run_export(const ExportOptions& options, const CommonOptions& common) {
  if (std::filesystem::exists(options.out))
    throw Error(concat(options.out, ": expected nothing there, found something; choose another --out"));
  const OpenedAdapter opened = open_adapter_on_model(options.adapter, common);
  if (options.format == "peft") {
    export_peft(options.out, opened.model, *opened.basis, *opened.bank, 0);
    std::cout << options.out << ": PEFT LoRA of rank " << opened.bank->layout.largest_rank() << ", "
              << human_bytes(static_cast<int64_t>(
                     std::filesystem::file_size(std::filesystem::path(options.out) / "adapter_model.safetensors")))
              << " (the adapter itself: "
              << human_bytes(static_cast<int64_t>(std::filesystem::file_size(opened.file.path))) << ")\n";
    return 0;
  }
  write_adapter(options.out, *opened.bank, 0, opened.model, *opened.basis, opened.file.provenance);
  std::cout << options.out << ": " << human_bytes(static_cast<int64_t>(std::filesystem::file_size(options.out)))
            << '\n';
  return 0;
}

}  // namespace loraxs
