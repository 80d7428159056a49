// api/adapters.h: several adapters opened on one model and one basis.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "adapt/adapter_file.h"
#include "adapt/adapter_set.h"
#include "adapt/combine.h"
#include "api/opened_adapter.h"

namespace loraxs {

struct OpenedAdapters {
  std::vector<AdapterFile> files;
  std::shared_ptr<const Basis> basis;        // at the largest rank, over every site that some adapter has; none: null
  std::vector<std::shared_ptr<Bank>> banks;  // of one each, in the order of files

  /// Slot i is adapter i.
  AdapterSet set() const;
};

/// Each adapter is checked against the model and the basis. Throws Error, also where two adapters stand on different
/// kinds of basis.
OpenedAdapters open_adapters(const BaseModel& model, const std::vector<std::string>& paths, const OpenOptions& options,
                             const Settings& settings);

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
