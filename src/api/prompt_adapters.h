// api/prompt_adapters.h: the adapters that prompts name, plugged into a model that generates.
#pragma once
#include <string>
#include <vector>

#include "api/opened_adapter.h"
#include "api/text_model.h"

namespace loraxs {

/// Each name is opened once and has a slot; "" is no adapter. One that does not open is the failure of its prompts.
class PromptAdapters {
 public:
  /// `names`: of every prompt, repeated or not (api/adapters.h). `required`: one that must open; empty: none.
  PromptAdapters(TextModel& model, const std::vector<std::string>& names, const std::string& required,
                 const OpenOptions& options, const Settings& settings);

  int64_t slot(const std::string& name) const { return name.empty() ? kNoSlot : slots_[place(name)]; }
  /// Why a prompt cannot be asked with this adapter, or without one beside others; empty: it can. `where` starts it.
  std::string error(const std::string& where, const std::string& name) const;

 private:
  size_t place(const std::string& name) const;
  std::vector<std::string> names_, errors_;
  std::vector<int64_t> slots_;
  bool takes_from_base_ = false;  // PiSSA
};

}  // namespace loraxs
