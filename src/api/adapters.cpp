#include "api/adapters.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <span>
#include <sstream>

#include "adapt/fresh_head.h"
#include "adapt/job_key.h"
#include "adapt/method.h"
#include "api/store.h"
#include "io/error.h"
#include "io/json.h"
#include "io/sha256.h"
#include "io/text_file.h"

namespace loraxs {
namespace {

/// NAME,WEIGHT lines by the adapters' names, divided by their sum.
std::map<std::string, double> read_weights(const std::string& path,
                                           const std::vector<std::filesystem::path>& adapters) {
  std::map<std::string, double> weights;
  std::istringstream lines(read_text_file(path));
  int64_t number = 0;
  double sum = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    if (line.empty()) continue;
    const size_t comma = line.rfind(',');
    char* end = nullptr;
    const double weight = comma == std::string::npos ? -1 : std::strtod(line.c_str() + comma + 1, &end);
    const bool is_number = end != nullptr && end != line.c_str() + comma + 1 && (*end == '\0' || *end == '\r');
    if (!is_number || !(weight >= 0) || !std::isfinite(weight)) {
      throw Error(concat(path, ":", number, ": expected NAME,WEIGHT with a weight ≥ 0, found ", line));
    }
    if (!weights.emplace(line.substr(0, comma), weight).second) {
      throw Error(concat(path, ":", number, ": ", line.substr(0, comma), ": stands twice"));
    }
    sum += weight;
  }
  for (const std::filesystem::path& adapter : adapters) {
    if (weights.contains(adapter_stem(adapter))) continue;
    throw Error(concat(path, ": expected a weight of ", adapter_stem(adapter), ", found none"));
  }
  if (weights.size() != adapters.size() || !(sum > 0)) {
    throw Error(concat(path, ": expected weights of the ", adapters.size(), " adapters with a sum above 0, found ",
                       weights.size(), " with the sum ", sum));
  }
  for (auto& [name, weight] : weights) weight /= sum;
  return weights;
}

/// The key of the job whose fresh head this adapter's head started from; nothing where the file does not tell.
std::optional<uint64_t> head_key(const AdapterFile& file) {
  const auto summary = json_or_null(file.provenance.summary);
  if (!summary.is_object() || file.provenance.task.empty()) return {};
  const auto seed = summary.find("seed");
  if (seed == summary.end() || !seed->is_number_integer()) return {};
  const auto start = summary.find("start");
  if (start != summary.end() && !(start->is_object() && start->value("head", nlohmann::json()) == "fresh")) return {};
  return job_key(seed->get<uint64_t>(), file.provenance.task);
}

/// h₀ of adapters whose heads are of one layout and started from one draw; undefined otherwise.
torch::Tensor common_start(const BaseModel& model, const OpenedAdapters& opened) {
  const HeadLayout& head = opened.banks.front()->layout->head;
  const std::optional<uint64_t> key = head_key(opened.files.front());
  if (!key || head.kind == "none") return {};
  for (size_t i = 0; i < opened.banks.size(); ++i) {
    if (head_key(opened.files[i]) != key || !(opened.banks[i]->layout->head == head)) return {};
  }
  return fresh_head(model, head, *key).values.select(0, 0);
}

/// An adapter whose file and layout are known; its row is opened when the basis is.
struct ReadAdapter {
  size_t index = 0;  // in the list of paths
  AdapterFile file;
  Layout layout;
};

/// Checked against the model, and against the widest before it that reads a basis (null: none does).
ReadAdapter read_beside(const std::string& path, size_t index, bool in_company, const BaseModel& model,
                        const OpenOptions& options, const ReadAdapter* widest) {
  ReadAdapter read{.index = index, .file = load_adapter(path)};
  read.layout = resolve_layout(read.file, model, options.accept_base);
  if (find_method(read.file.method, path).traits.residual && in_company) {
    throw Error(concat(path, ": expected adapters on the base as it is, found one of ", read.file.method,
                       ", which changes the base for all; open it alone"));
  }
  if (!reads_basis(read.file) || widest == nullptr) return read;
  BasisRecipe mine = read.file.basis, other = widest->file.basis;
  mine.rank = other.rank = 0;
  if (!(mine == other)) {
    throw Error(concat(path, ": expected an adapter on the same kind of basis as ", widest->file.path.string(),
                       ", found another variant; rows of different bases do not add"));
  }
  return read;
}

/// What a name of an adapter means: one file, or terms of a sum.
std::vector<CombineTerm> terms_of(const std::string& name) {
  const auto says = [&](const char* part) { return name.find(part) != std::string::npos; };
  const bool is_sum = says("*") || says("mean(") || says(" + ") || says(" - ");
  std::error_code ignored;
  if (!is_sum || std::filesystem::exists(name, ignored)) return {{.name = name}};
  return expand_means(parse_combination(name));
}

bool is_file(const std::vector<CombineTerm>& terms, const std::string& name) {
  return terms.size() == 1 && terms.front().name == name;
}

/// Files by themselves, each with its slot.
OpenedAdapters open_files(const BaseModel& model, const std::vector<std::string>& paths, const OpenOptions& options,
                          const Settings& settings, const OnUnopened& on_unopened) {
  const auto left_out = [&](size_t index, const Error& error) {
    if (!on_unopened) throw Error(error);
    on_unopened(index, error);
  };
  const std::vector<std::shared_ptr<Store>> stores = open_stores_of(paths);
  std::vector<ReadAdapter> adapters;
  const ReadAdapter* widest = nullptr;  // of those that read a basis
  adapters.reserve(paths.size());
  for (size_t i = 0; i < paths.size(); ++i) {
    try {
      adapters.push_back(read_beside(paths[i], i, paths.size() > 1, model, options, widest));
    } catch (const Error& error) {
      left_out(i, error);
      continue;
    }
    const ReadAdapter& read = adapters.back();
    const bool wider = widest == nullptr || read.layout.largest_rank() > widest->layout.largest_rank();
    if (reads_basis(read.file) && wider) widest = &read;
  }
  std::vector<Site> sites;
  for (const ReadAdapter& read : adapters) {
    if (!reads_basis(read.file)) continue;
    for (const Site& site : read.layout.sites) {
      if (std::find(sites.begin(), sites.end(), site) == sites.end()) sites.push_back(site);
    }
  }
  OpenedAdapters opened{.slots = std::vector(paths.size(), kNoSlot)};
  std::vector<const AdapterFile*> files;
  files.reserve(adapters.size());
  for (const ReadAdapter& read : adapters) files.push_back(&read.file);
  if (!files.empty() || paths.empty()) check_basis_file(options.basis_file, files);
  if (adapters.empty()) return opened;
  opened.basis = widest != nullptr
                     ? basis_for(model, sites, widest->file.basis,
                                 basis_file_of(widest->file, options.basis_file, settings.cache), settings)
                     : std::make_shared<Basis>();
  for (ReadAdapter& read : adapters) {
    try {
      opened.banks.push_back(std::make_shared<Bank>(open_adapter(read.file, read.layout, *opened.basis)));
    } catch (const Error& error) {
      left_out(read.index, error);
      continue;
    }
    opened.slots[read.index] = static_cast<int64_t>(opened.files.size());
    opened.files.push_back(std::move(read.file));
  }
  return opened;
}

/// The sum `expression` of opened adapters, each in the bank of its slot.
struct Sum {
  Bank bank;        // of one
  size_t head = 0;  // the term whose head and history the sum carries
};
Sum sum_of(const BaseModel& model, const OpenedAdapters& opened, const std::vector<CombineTerm>& terms,
           const std::vector<int64_t>& slots, const std::string& head, const std::string& expression) {
  std::vector<CombineInput> inputs;
  OpenedAdapters own;  // the terms' alone
  HeadRule rule{.kind = head == "auto" || head == "none" ? head : "take"};
  bool found = rule.kind != "take";
  for (size_t i = 0; i < terms.size(); ++i) {
    own.banks.push_back(opened.banks.at(slots[i]));
    own.files.push_back(opened.files.at(slots[i]));
    inputs.push_back({.bank = own.banks.back().get(), .row = 0, .weight = terms[i].weight});
    if (rule.kind == "take" && terms[i].name == head) {
      rule.take = i;
      found = true;
    }
  }
  if (!found) throw Error(concat("--head ", head, ": expected auto, none or one of the adapters in the expression"));
  if (rule.kind == "auto") rule.start = common_start(model, own);
  Sum sum{.bank = combine(inputs, rule), .head = rule.take};
  if (torch::isfinite(sum.bank.values).all().item<bool>()) return sum;
  constexpr size_t kShown = 300;
  throw Error(concat(shortened(expression, kShown), ": expected finite numbers in the sum, found infinity or NaN; ",
                     terms.size() > 1 ? "a factor" : "the factor", " is too large"));
}

/// What a sum would be as a file.
AdapterFile file_of_sum(const std::string& name, AdapterFile file, const Bank& bank) {
  file.path = name;
  file.alpha = bank.alpha(0);
  file.labels = bank.labels(0);
  file.layout_json = layout_to_json(*bank.layout, file.labels).dump();
  file.fingerprint.clear();
  file.provenance.summary.clear();
  const torch::Tensor row = bank.values.select(0, 0).to(torch::kFloat32).contiguous();
  file.row.assign(row.const_data_ptr<float>(), row.const_data_ptr<float>() + row.numel());
  file.row_digest = sha256_hex(std::as_bytes(std::span(file.row)));
  return file;
}

}  // namespace

AdapterSet OpenedAdapters::set() const {
  AdapterSet adapters;
  for (const auto& bank : banks) {
    adapters.slots.push_back({.bank = static_cast<int64_t>(adapters.banks.size()), .row = 0});
    adapters.banks.push_back(bank);
  }
  return adapters;
}

OpenedAdapters open_adapters(const BaseModel& model, const std::vector<std::string>& names, const OpenOptions& options,
                             const Settings& settings, const OnUnopened& on_unopened) {
  const auto left_out = [&](size_t index, const Error& error) {
    if (!on_unopened) throw Error(error);
    on_unopened(index, error);
  };
  std::vector<std::vector<CombineTerm>> terms(names.size());  // none where a name cannot be read
  std::vector<std::string> paths;                             // every file once
  const auto place = [&](const std::string& path) {
    return static_cast<size_t>(std::find(paths.begin(), paths.end(), path) - paths.begin());
  };
  for (size_t i = 0; i < names.size(); ++i) {
    try {
      terms[i] = terms_of(names[i]);
    } catch (const Error& error) {
      left_out(i, error);
    }
    for (const CombineTerm& term : terms[i]) {
      if (place(term.name) == paths.size()) paths.push_back(term.name);
    }
  }
  std::vector<std::optional<Error>> errors(paths.size());
  const OpenedAdapters files = open_files(model, paths, options, settings, [&](size_t i, const Error& error) {
    if (!on_unopened) throw Error(error);
    errors[i] = error;
  });
  OpenedAdapters opened{.slots = std::vector(names.size(), kNoSlot), .basis = files.basis};
  for (size_t i = 0; i < names.size(); ++i) {
    std::vector<int64_t> slots;  // in files
    try {
      for (const CombineTerm& term : terms[i]) {
        if (const auto& error = errors[place(term.name)]) throw Error(*error);
        slots.push_back(files.slots[place(term.name)]);
      }
      if (slots.empty()) continue;
      AdapterFile file = files.files[slots.front()];
      auto bank = files.banks[slots.front()];
      if (!is_file(terms[i], names[i])) {
        Sum sum = sum_of(model, files, terms[i], slots, "auto", names[i]);
        bank = std::make_shared<Bank>(std::move(sum.bank));
        file = file_of_sum(names[i], files.files[slots[sum.head]], *bank);
      }
      opened.slots[i] = static_cast<int64_t>(opened.files.size());
      opened.files.push_back(std::move(file));
      opened.banks.push_back(std::move(bank));
    } catch (const Error& error) {
      left_out(i, error);
    }
  }
  return opened;
}

std::vector<std::string> files_of_adapter(const std::string& name) {
  std::vector<std::string> files;
  for (const CombineTerm& term : terms_of(name)) files.push_back(term.name);
  return files;
}

OpenedAdapter open_adapter_on_model(const BaseModel& model, const std::filesystem::path& adapter,
                                    const OpenOptions& options, const Settings& settings) {
  OpenedAdapters opened = open_adapters(model, {adapter.string()}, options, settings);
  return {.model = model,
          .file = std::move(opened.files.front()),
          .basis = std::move(opened.basis),
          .bank = std::move(opened.banks.front()),
          .memory = options.memory,
          .device = options.device};
}

std::vector<CombineTerm> expand_means(const std::vector<CombineTerm>& terms) {
  std::vector<CombineTerm> expanded;
  for (const CombineTerm& term : terms) {
    if (!term.is_mean) {
      expanded.push_back(term);
      continue;
    }
    const std::vector<std::filesystem::path> adapters = adapters_of(term.name);
    std::map<std::string, double> weights;
    if (!term.mean_weights.empty()) weights = read_weights(term.mean_weights, adapters);
    for (const std::filesystem::path& adapter : adapters) {
      const double share =
          weights.empty() ? 1 / static_cast<double>(adapters.size()) : weights.at(adapter_stem(adapter));
      expanded.push_back({.weight = term.weight * share, .name = adapter.string()});
    }
  }
  return expanded;
}

CombinedAdapters combine_adapters(const BaseModel& model, const std::string& expression, const std::string& head,
                                  const OpenOptions& options, const Settings& settings) {
  const std::vector<CombineTerm> terms = expand_means(parse_combination(expression));
  std::vector<std::string> paths;
  paths.reserve(terms.size());
  for (const CombineTerm& term : terms) paths.push_back(term.name);
  CombinedAdapters combined{.opened = open_files(model, paths, options, settings, {})};
  Sum sum = sum_of(model, combined.opened, terms, combined.opened.slots, head, expression);
  combined.head = sum.head;
  combined.bank = std::move(sum.bank);
  return combined;
}

}  // namespace loraxs
