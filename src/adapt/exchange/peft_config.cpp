#include "adapt/exchange/peft_config.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "io/error.h"
#include "io/fields.h"
#include "io/input_file.h"
#include "io/json.h"

namespace loraxs {
namespace {

/// Nothing of these changes what a trained adapter computes on projections that are plain linear layers.
constexpr std::array kHarmless = {
    "auto_mapping",   "base_model_name_or_path", "revision",          "inference_mode", "lora_dropout",
    "peft_version",   "fan_in_fan_out",          "eva_config",        "corda_config",   "loftq_config",
    "lora_ga_config", "megatron_core",           "qalora_group_size", "runtime_config", "ensure_weight_tying",
    "merge_weights"};

/// What changes the computation and has no form here, unless it is absent, null, false or empty.
constexpr std::array<std::pair<const char*, const char*>, 15> kRefused = {{
    {"use_dora", "magnitudes of DoRA have no row here"},
    {"lora_bias", "biases of lora_B have no row here"},
    {"use_qalora", "QALoRA pools the inputs"},
    {"use_bdlora", "blocks of BD-LoRA are no plain factors"},
    {"alora_invocation_tokens", "aLoRA adapts a part of the tokens alone"},
    {"trainable_token_indices", "trained embeddings have no row here"},
    {"target_parameters", "adapters of bare parameters have no site here"},
    {"layer_replication", "repeated layers are another model; save the merged model and adapt that"},
    {"arrow_config", "Arrow chooses among adapters at each token"},
    {"kasa_config", "KaSA cuts the base weights"},
    {"velora_config", "VeLoRA is no plain LoRA"},
    {"monteclora_config", "MonteCLoRA draws its factors"},
    {"megatron_config", "parallel layers of Megatron have other names"},
    {"enable_lora", "merged query, key and value projections are no site here"},
    {"target_modules_to_tie", "tied adapters of embeddings have no site here"},
}};

bool says_nothing(const nlohmann::json& value) {
  return value.is_null() || value == false || (value.is_structured() && value.empty()) || value == "";
}

void check_task(Fields& fields, const Architecture& architecture) {
  const std::string task = fields.text("task_type", "");
  const std::string usual = architecture.kind == ModelKind::kDecoder ? "CAUSAL_LM" : "SEQ_CLS";
  if (task.empty() || task == usual || task == "FEATURE_EXTRACTION") return;
  fields.fail("task_type", concat("expected ", usual, " or FEATURE_EXTRACTION for ", architecture.model_type,
                                  ", found \"", task, "\", which is not served here"));
}

PeftStart read_start(Fields& fields) {
  const nlohmann::json start = fields.raw("init_lora_weights");
  if (start.is_null() || start.is_boolean()) return PeftStart::kWhole;
  if (start == "pissa") return PeftStart::kPissa;
  if (start == "olora" || start == "OLoRA") return PeftStart::kOlora;
  for (const char* whole : {"gaussian", "eva", "orthogonal", "mica"}) {
    if (start == whole) return PeftStart::kWhole;
  }
  fields.fail(
      "init_lora_weights",
      concat("expected a start that leaves the base whole or follows from it (true, gaussian, eva, orthogonal, mica, "
             "pissa, olora), found ",
             start.dump(), "; convert it: save_pretrained(…, path_initial_model_for_weight_conversion=…)"));
}

void check_saved_modules(Fields& fields, const Architecture& architecture) {
  for (const std::string& module : fields.strings("modules_to_save", {})) {
    const bool head = architecture.kind == ModelKind::kEncoder &&
                      (module == "classifier" || module == "score" || module == architecture.head.dense_saved);
    if (head) continue;
    fields.fail(
        "modules_to_save",
        concat("expected nothing but a task head, found ", module,
               ": a layer that was trained whole has no row here; merge_and_unload() in PEFT, save the model, and "
               "take that as the base"));
  }
}

}  // namespace

ModulePattern ModulePattern::ending(const std::string& expression, const std::string& where) {
  return ModulePattern(Regex("^(?:.*\\.)?(?:" + expression + ")$", where));
}

ModulePattern ModulePattern::whole(const std::string& expression, const std::string& where) {
  return ModulePattern(Regex("^(?:" + expression + ")$", where));
}

bool ModulePattern::matches(const std::string& name) const {
  TextLimit limit(name.size());
  bool found = false;
  regex_.for_each_match(name, limit, [&](size_t, size_t) { found = true; });
  return found;
}

PeftConfig::PeftConfig(const std::filesystem::path& path, const Architecture& architecture) {
  const std::string where = path.string();
  const std::string text = read_file(path);
  const nlohmann::ordered_json ordered = parse_ordered_json(text, where);  // of patterns the first that matches counts
  Fields fields(parse_json(text, where, kRecordLimits), where);
  const std::string type = fields.text("peft_type", "");
  if (type != "LORA") fields.fail("peft_type", concat("expected LORA, found \"", type, "\""));
  check_task(fields, architecture);
  for (const auto& [key, why] : kRefused) {
    const nlohmann::json value = fields.raw(key);
    if (!says_nothing(value))
      fields.fail(key, concat("expected false or none, found ", shortened(value.dump(), 60), ": ", why));
  }
  for (const char* key : kHarmless) fields.raw(key);
  rank_ = fields.positive_int("r", rank_);
  alpha_ = fields.positive_number("lora_alpha", alpha_);
  rslora_ = fields.boolean("use_rslora", false);
  start_ = read_start(fields);
  fields.choice("bias", "none", {"none", "all", "lora_only"});  // the tensors tell whether one was trained
  check_saved_modules(fields, architecture);

  const auto modules = [&](const char* key, std::vector<std::string>& names, std::vector<ModulePattern>& pattern) {
    const nlohmann::json value = fields.raw(key);
    if (value.is_string() && value != "") {
      pattern.push_back(ModulePattern::whole(value.get<std::string>(), where + ": " + key));
    } else if (value.is_array()) {
      for (const nlohmann::json& name : value) {
        if (!name.is_string()) fields.fail(key, concat("expected names, found ", shortened(name.dump(), 60)));
        names.push_back(name.get<std::string>());
      }
    } else if (!says_nothing(value)) {
      fields.fail(key, concat("expected names or an expression, found ", shortened(value.dump(), 60)));
    }
  };
  all_linear_ = fields.has("target_modules") && ordered["target_modules"] == "all-linear";
  if (all_linear_) {
    fields.raw("target_modules");
  } else {
    modules("target_modules", targets_, target_pattern_);
  }
  modules("exclude_modules", excluded_, excluded_pattern_);

  std::vector<std::string> lists = {".*?\\.[^.]*"};  // any list of layers: the first number of a name counts
  if (!says_nothing(fields.raw("layers_pattern"))) {
    lists.clear();
    for (const std::string& list : fields.strings("layers_pattern", {})) lists.push_back("(?:.*?\\.)?" + list);
  }
  const nlohmann::json layers = fields.raw("layers_to_transform");
  every_layer_ = layers.is_null() || (layers.is_array() && layers.empty());
  if (!every_layer_) {
    for (const int64_t layer : fields.integers("layers_to_transform", {})) {
      for (const std::string& list : lists) {
        layer_patterns_.push_back(
            ModulePattern::whole(concat(list, "\\.", layer, "\\..*"), where + ": layers_pattern"));
      }
    }
  }
  for (const char* key : {"rank_pattern", "alpha_pattern"}) {
    const nlohmann::json value = fields.raw(key);
    if (says_nothing(value)) continue;
    if (!value.is_object()) fields.fail(key, concat("expected an object, found ", value.type_name()));
    for (const auto& [expression, number] : ordered[key].items()) {
      const bool whole = number.is_number_integer() && number.get<double>() >= 1 && number.get<double>() < (1 << 20);
      const bool is_rank = std::string_view(key) == "rank_pattern";
      if (!(is_rank ? whole : number.is_number() && number.get<double>() > 0)) {
        fields.fail(key, concat("expected a positive ", is_rank ? "integer" : "number", " for ", expression, ", found ",
                                shortened(number.dump(), 60)));
      }
      const ModulePattern pattern = ModulePattern::ending(expression, where + ": " + key);
      if (is_rank) {
        rank_pattern_.emplace_back(pattern, number.get<int64_t>());
      } else {
        alpha_pattern_.emplace_back(pattern, number.get<double>());
      }
    }
  }
  for (const auto& [key, value] : ordered.items()) {
    if (says_nothing(value)) fields.raw(key);  // whatever it is, it is off
  }
  fields.finish();
}

int64_t PeftConfig::rank_of(const std::string& module) const {
  for (const auto& [pattern, rank] : rank_pattern_) {
    if (pattern.matches(module)) return rank;
  }
  return rank_;
}

double PeftConfig::alpha_of(const std::string& module) const {
  for (const auto& [pattern, alpha] : alpha_pattern_) {
    if (pattern.matches(module)) return alpha;
  }
  return alpha_;
}

bool PeftConfig::targets(const std::string& module) const {
  const auto named = [&](const std::vector<std::string>& names) {
    return std::any_of(names.begin(), names.end(),
                       [&](const std::string& name) { return module == name || module.ends_with("." + name); });
  };
  const auto matched = [&](const std::vector<ModulePattern>& patterns) {
    return std::any_of(patterns.begin(), patterns.end(),
                       [&](const ModulePattern& pattern) { return pattern.matches(module); });
  };
  if (named(excluded_) || matched(excluded_pattern_)) return false;
  if (all_linear_ || !target_pattern_.empty()) return all_linear_ || matched(target_pattern_);
  if (std::find(targets_.begin(), targets_.end(), module) != targets_.end()) return true;
  return named(targets_) && (every_layer_ || matched(layer_patterns_));
}

}  // namespace loraxs
