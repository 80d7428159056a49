#include "api/fleet_starts.h"

#include <algorithm>
#include <filesystem>

#include "adapt/combine.h"
#include "adapt/method.h"
#include "api/store.h"
#include "io/error.h"
#include "io/sha256.h"

namespace loraxs {
namespace {

constexpr size_t kMostMeans = 64;  // kept at a time

constexpr std::string_view kBlanks = " \t";

/// `a, "b, c"` -> {a; b, c}
std::vector<std::string> split_list(const std::string& list) {
  std::vector<std::string> parts;
  for (size_t begin = 0; begin <= list.size();) {
    const size_t first = list.find_first_not_of(kBlanks, begin);
    if (first != std::string::npos && (list[first] == '"' || list[first] == '\'')) {
      const size_t close = std::min(list.find(list[first], first + 1), list.size());
      parts.push_back(list.substr(first + 1, close - first - 1));
      begin = std::min(list.find(',', close), list.size()) + 1;
      continue;
    }
    const size_t end = std::min(list.find(',', begin), list.size());
    std::string part = list.substr(begin, end - begin);
    part.erase(0, part.find_first_not_of(kBlanks));
    part.erase(part.find_last_not_of(kBlanks) + 1);
    if (!part.empty()) parts.push_back(std::move(part));
    begin = end + 1;
  }
  return parts;
}

constexpr std::string_view kOwn = "own", kOwnUpTo = "own@<=";

/// Whether a name has its place with it, and is not one of the fleet's store: no name begins with a dot or a slash.
bool is_elsewhere(const std::string& name) {
  return is_store_url(name) || name.starts_with('/') || name.starts_with('.');
}

/// What the name of a place means: the adapters of a folder, or of a store's tenant or beginning; one adapter is
/// itself.
std::vector<std::string> adapters_at(const std::string& place) {
  if (!is_store_url(place) && !std::filesystem::is_directory(place)) return {place};
  std::vector<std::string> names;
  for (const std::filesystem::path& adapter : adapters_of(place)) names.push_back(adapter.string());
  return names;
}

/// The row under its name in the store, wherever the store lies.
StartRow named(StartRow row, const std::string& reference) {
  row.path = reference;
  return row;
}

}  // namespace

bool is_own_start(std::string_view start) { return start == kOwn || start.starts_with("own@"); }
bool names_own_version(std::string_view start) { return start.starts_with("own@") && !start.starts_with(kOwnUpTo); }

std::optional<StartRow> FleetStarts::resolve(const std::string& start, const FleetMember& member, const Layout& layout,
                                             const std::vector<std::string>& labels, bool carries_head) {
  if (start == "fresh") return std::nullopt;
  const StartWanted wanted{.layout = layout,
                           .labels = labels,
                           .alpha = alpha_,
                           .model = model_,
                           .basis = basis_,
                           .carries_head = carries_head,
                           .where = member.where,
                           .key = "start",
                           .head_key = "init_head"};
  if (is_own_start(start)) {
    std::string version = start.substr(kOwn.size());  // empty, or @VERSION
    if (start.starts_with(kOwnUpTo)) version = "@" + start.substr(kOwnUpTo.size());
    if (version == "@0") return std::nullopt;
    const std::optional<AdapterFile> own = store_.get(member.title() + version);
    if (own) return named(start_row_of(*own, wanted), member.title());
    if (version.empty()) return std::nullopt;
    throw Error(concat(member.where, ": start: expected an adapter of the store, found no ", member.title(), version));
  }
  const std::string mean = "mean(";
  if (start.starts_with(mean) && start.ends_with(')')) {
    return mean_of(start.substr(mean.size(), start.size() - mean.size() - 1), wanted);
  }
  if (start.find('/') == std::string::npos) {
    throw Error(concat(member.where,
                       ": start: expected fresh, own, own@VERSION, TENANT/NAME, URL#TENANT/NAME or mean(…), found ",
                       start));
  }
  return named(start_row_of(get(start, wanted), wanted), start);
}

AdapterFile FleetStarts::get(const std::string& reference, const StartWanted& wanted) {
  const bool elsewhere = is_elsewhere(reference);
  const std::optional<std::string> title = elsewhere ? store_.title_of(reference) : reference;
  if (title && is_job_(*title)) {
    throw Error(concat(wanted.where, ": start: expected an adapter that this fleet does not train, found ", reference,
                       "; name its version, or train it before"));
  }
  if (elsewhere) return load_adapter(reference);
  std::optional<AdapterFile> file = store_.get(reference);
  if (file) return std::move(*file);
  throw Error(concat(wanted.where, ": start: expected an adapter of the store, found no ", reference,
                     std::filesystem::exists(reference) ? "; a file or folder begins with / or ./" : ""));
}

std::vector<std::string> FleetStarts::members_of(const std::string& part) {
  const bool elsewhere = is_elsewhere(part);
  if (!elsewhere && !part.ends_with('*')) return {part};
  std::vector<std::string> names = elsewhere ? adapters_at(part) : store_.list(part.substr(0, part.size() - 1));
  if (names.size() == 1 && names.front() == part) return names;
  std::erase_if(names, [&](const std::string& name) {
    const std::optional<std::string> title = elsewhere ? store_.title_of(name) : name;
    return title && is_job_(*title);
  });
  return names;
}

StartRow FleetStarts::mean_of(const std::string& list, const StartWanted& wanted) {
  const Layout& layout = wanted.layout;
  std::string key = concat(list, "|", wanted.carries_head);
  if (wanted.carries_head) {
    key += concat("|", layout.head.outputs);
    for (const std::string& label : wanted.labels) key += "|" + label;
  }
  if (const auto known = means_.find(key); known != means_.end()) return known->second;
  if (!find_method(layout.method, wanted.where).traits.combines) {
    throw Error(concat(wanted.where, ": start: expected a mean of lora_xs, whose rows are a vector space, found ",
                       layout.method, "; start from one adapter"));
  }
  std::vector<std::string> references;
  for (const std::string& part : split_list(list)) {
    for (std::string& name : members_of(part)) references.push_back(std::move(name));
  }
  if (references.empty()) {
    throw Error(concat(wanted.where, ": start: expected adapters of others to take the mean of, found none as ", list));
  }
  const std::vector<std::shared_ptr<Store>> kept_open = open_stores_of(references);
  const Layout summed =
      make_layout(layout.method, layout.sites, layout.ranks, wanted.carries_head ? layout.head : HeadLayout{},
                  layout.hidden_size, wanted.where, layout.options);
  WeightedSum sum(summed, wanted.alpha);
  const double weight = 1 / static_cast<double>(references.size());
  StartRow mean;
  Sha256 digest;
  for (const std::string& reference : references) {
    mean = start_row_of(get(reference, wanted), wanted);
    digest.update(mean.row_digest);
    sum.add(mean.numbers, summed, wanted.alpha, weight, weight);
  }
  mean.path = concat("mean of ", references.size());
  mean.row_digest = digest.hex();
  mean.numbers = sum.row().to(torch::kFloat32);
  if (means_.size() >= kMostMeans) means_.clear();
  return means_[key] = mean;
}

}  // namespace loraxs
