// api/adapters.h: several adapters, or sums of them, opened on one model and one basis.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "adapt/adapter_file.h"
#include "adapt/adapter_set.h"
#include "adapt/combine.h"
#include "api/opened_adapter.h"
#include "io/error.h"

namespace loraxs {

/// Hears of an adapter that does not open: its place in the list, and why. Throws to give up.
using OnUnopened = std::function<void(size_t index, const Error& error)>;

struct OpenedAdapters {
  std::vector<int64_t> slots;                // of each name; kNoSlot: it did not open
  std::vector<AdapterFile> files;            // of each slot; a sum's is made up, with the expression as its path
  std::shared_ptr<const Basis> basis;        // at the largest rank, over every site that some adapter has; none: null
  std::vector<std::shared_ptr<Bank>> banks;  // of one each, in the order of files

  AdapterSet set() const;
};

/// Each name is a file, or a sum as parse_combination reads it ("0.5*a.safetensors + 0.5*b.safetensors"), which takes
/// one slot. Each adapter is checked against the model and the basis, and against those before it: they must stand on
/// one kind of basis. What does not open is told and left out; without `on_unopened` its Error is thrown.
OpenedAdapters open_adapters(const BaseModel& model, const std::vector<std::string>& names, const OpenOptions& options,
                             const Settings& settings, const OnUnopened& on_unopened = {});

/// The files that a name of an adapter means, in their order; those of a sum are looked up, not opened.
std::vector<std::string> files_of_adapter(const std::string& name);

/// Terms of single adapters: mean(FOLDER) becomes its adapters with equal weights that sum to its own, and
/// mean(FOLDER, FILE) with those of FILE, lines of NAME,WEIGHT, divided by their sum. Throws Error for a folder without
/// adapters and for a file that does not weigh each of them once.
std::vector<CombineTerm> expand_means(const std::vector<CombineTerm>& terms);

/// The adapters that a combination names, opened, and their sum as a bank of one. `head`: auto, none, or the adapter
/// whose head is kept.
struct CombinedAdapters {
  OpenedAdapters opened;
  size_t head = 0;  // the adapter whose head and history the sum carries
  Bank bank;
};
CombinedAdapters combine_adapters(const BaseModel& model, const std::string& expression, const std::string& head,
                                  const OpenOptions& options, const Settings& settings);

}  // namespace loraxs
