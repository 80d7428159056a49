#include <iostream>

#include "api/adapter_tools.h"
#include "commands/commands.h"
#include "commands/session.h"

namespace loraxs {

int run_export(const ExportOptions& options, const CommonOptions& common) {
  refuse_existing(options.out, "--out");
  const OpenedAdapter opened = open_adapter_of(options.adapter, common);
  export_adapter(opened, options.format, options.out);
  const auto size_of = [](const std::filesystem::path& file) {
    return human_bytes(static_cast<int64_t>(std::filesystem::file_size(file)));
  };
  if (options.format == "peft") {
    std::cout << options.out << ": PEFT LoRA of rank " << opened.bank->layout.largest_rank() << ", "
              << size_of(std::filesystem::path(options.out) / "adapter_model.safetensors")
              << " (the adapter itself: " << size_of(opened.file.path) << ")\n";
  } else {
    std::cout << options.out << ": " << size_of(options.out) << '\n';
  }
  return 0;
}

}  // namespace loraxs
