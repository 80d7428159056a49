// commands/describe.h: what stands at a path, for people and for programs: what it is, whose, on which base, how good.
#pragma once
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "api/settings.h"

namespace loraxs {

struct DescribedTable {
  std::string title;
  std::vector<std::string> columns;
  std::vector<std::vector<std::string>> rows;
};

struct Description {
  nlohmann::ordered_json json;                             // for programs: "kind" first
  std::vector<std::pair<std::string, std::string>> facts;  // for people, the most asked first
  std::vector<DescribedTable> tables;

  void say(const std::string& what, const std::string& fact) { facts.emplace_back(what, fact); }
};

/// An adapter, basis, safetensors or GGUF file; an adapter of a store; the folder of a run, of adapters, of a model, or
/// of PEFT's. Throws Error for anything else.
Description describe_path(const std::filesystem::path& path, const Settings& settings);

// By kind:
Description describe_adapter(const std::filesystem::path& path);
Description describe_peft(const std::filesystem::path& folder);
Description describe_run(const std::filesystem::path& folder);
Description describe_model(const std::filesystem::path& folder, const Settings& settings);
Description describe_gguf(const std::filesystem::path& path, const Settings& settings);

/// "[16, 384]"
std::string shape_text(const std::vector<int64_t>& shape);
/// The texts with commas between them.
std::string joined(const std::vector<std::string>& texts);

}  // namespace loraxs
