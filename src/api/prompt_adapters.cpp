#include "api/prompt_adapters.h"

#include <algorithm>

#include "adapt/method.h"
#include "api/adapters.h"
#include "io/error.h"

namespace loraxs {

PromptAdapters::PromptAdapters(TextModel& model, const std::vector<std::string>& names, const std::string& required,
                               const OpenOptions& options, const Settings& settings) {
  for (const std::string& name : names) {
    if (!name.empty() && std::find(names_.begin(), names_.end(), name) == names_.end()) names_.push_back(name);
  }
  errors_.resize(names_.size());
  const OpenedAdapters opened =
      open_adapters(model.base(), names_, options, settings, [&](size_t i, const Error& error) {
        if (names_[i] == required) throw Error(error);
        errors_[i] = error.what();
      });
  for (const AdapterFile& file : opened.files) warn_on_drift(file, settings.log);
  model.use(opened.basis, opened.set());
  slots_ = opened.slots;
  for (const auto& bank : opened.banks) takes_from_base_ |= find_method(bank->layout->method, "").traits.residual;
}

std::string PromptAdapters::error(const std::string& where, const std::string& name) const {
  if (name.empty() && takes_from_base_) {
    return concat(where, ": expected an adapter, found none; those of other prompts take a part off the base's ",
                  "weights, which cannot answer beside them: ask it in a call of its own");
  }
  if (name.empty() || errors_[place(name)].empty()) return "";
  return concat(where, ": ", errors_[place(name)]);
}

size_t PromptAdapters::place(const std::string& name) const {
  return static_cast<size_t>(std::find(names_.begin(), names_.end(), name) - names_.begin());
}

}  // namespace loraxs
