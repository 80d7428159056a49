// adapt/exchange/peft_config.h: adapter_config.json of a LoRA of PEFT, read to its end.
#pragma once
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "model/architecture.h"
#include "text/regex.h"

namespace loraxs {

/// Starts that take a part of the base into the adapter: the base of training is W minus that part.
enum class PeftStart { kWhole, kPissa, kOlora };

/// A regular expression of names of modules, or a name that may lack its beginning.
class ModulePattern {
 public:
  /// PEFT's get_pattern_key (peft/utils/other.py): the expression matches the name's end, behind a dot.
  static ModulePattern ending(const std::string& expression, const std::string& where);
  /// re.fullmatch.
  static ModulePattern whole(const std::string& expression, const std::string& where);
  bool matches(const std::string& name) const;

 private:
  explicit ModulePattern(Regex regex) : regex_(std::move(regex)) {}
  Regex regex_;
};

/// What LoraConfig says of sizes, scales and modules, as of PEFT 0.21. Names of modules are PEFT's: those of the saved
/// tensors without "base_model.model.".
class PeftConfig {
 public:
  /// Every key is used, or known to change nothing, or refused with its name. Throws Error.
  PeftConfig(const std::filesystem::path& path, const Architecture& architecture);

  int64_t rank_of(const std::string& module) const;  // rank_pattern, else r
  double alpha_of(const std::string& module) const;  // alpha_pattern, else lora_alpha
  /// Whether the config says its target modules; else PEFT takes those usual for the family.
  bool names_targets() const { return all_linear_ || !targets_.empty() || !target_pattern_.empty(); }
  /// Whether PEFT puts an adapter on this module (check_target_module_exists of peft/tuners/tuners_utils.py).
  bool targets(const std::string& module) const;
  bool rslora() const { return rslora_; }
  PeftStart start() const { return start_; }

 private:
  template <typename Number>
  using Patterns = std::vector<std::pair<ModulePattern, Number>>;  // in the file's order: the first that matches counts

  int64_t rank_ = 8;
  double alpha_ = 8;
  bool rslora_ = false, all_linear_ = false, every_layer_ = true;
  PeftStart start_ = PeftStart::kWhole;
  std::vector<std::string> targets_, excluded_, layers_patterns_;
  std::vector<ModulePattern> target_pattern_, excluded_pattern_;  // of one, where the config has an expression
  std::vector<ModulePattern> layer_patterns_;                     // modules of layers_to_transform
  Patterns<int64_t> rank_pattern_;
  Patterns<double> alpha_pattern_;
};

}  // namespace loraxs
