#include "api/fleet_starts.h"

#include <algorithm>

#include "io/error.h"
#include "io/sha256.h"

namespace loraxs {
namespace {

constexpr size_t kMostMeans = 64;  // kept at a time

/// "a, b" -> {"a", "b"}
std::vector<std::string> split_list(const std::string& list) {
  std::vector<std::string> parts;
  for (size_t begin = 0; begin <= list.size();) {
    const size_t end = std::min(list.find(',', begin), list.size());
    std::string part = list.substr(begin, end - begin);
    part.erase(0, part.find_first_not_of(' '));
    part.erase(part.find_last_not_of(' ') + 1);
    if (!part.empty()) parts.push_back(std::move(part));
    begin = end + 1;
  }
  return parts;
}

constexpr std::string_view kOwn = "own";

/// The row under its name in the store, wherever the store lies.
StartRow named(StartRow row, const std::string& reference) {
  row.path = reference;
  return row;
}

}  // namespace

bool is_own_start(std::string_view start) { return start == kOwn || start.starts_with("own@"); }

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
    const std::string version = start.substr(kOwn.size());  // empty, or @VERSION
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
    throw Error(
        concat(member.where, ": start: expected fresh, own, own@VERSION, TENANT/NAME or mean(…), found ", start));
  }
  return named(start_row_of(get(start, wanted), wanted), start);
}

AdapterFile FleetStarts::get(const std::string& reference, const StartWanted& wanted) {
  if (is_job_(reference)) {
    throw Error(concat(wanted.where, ": start: expected an adapter that this fleet does not train, found ", reference,
                       "; name its version, or train it before"));
  }
  std::optional<AdapterFile> file = store_.get(reference);
  if (!file) throw Error(concat(wanted.where, ": start: expected an adapter of the store, found no ", reference));
  return std::move(*file);
}

StartRow FleetStarts::mean_of(const std::string& list, const StartWanted& wanted) {
  const HeadLayout& head = wanted.layout.head;
  std::string key = concat(list, "|", wanted.carries_head);
  if (wanted.carries_head) {
    key += concat("|", head.outputs);
    for (const std::string& label : wanted.labels) key += "|" + label;
  }
  if (const auto known = means_.find(key); known != means_.end()) return known->second;
  std::vector<std::string> references;
  for (const std::string& part : split_list(list)) {
    if (!part.ends_with('*')) {
      references.push_back(part);
      continue;
    }
    for (std::string& name : store_.list(part.substr(0, part.size() - 1))) {
      if (!is_job_(name)) references.push_back(std::move(name));
    }
  }
  if (references.empty()) {
    throw Error(concat(wanted.where, ": start: expected adapters of others to take the mean of, found none as ", list));
  }
  torch::Tensor sum;
  StartRow mean;
  Sha256 digest;
  for (const std::string& reference : references) {
    mean = start_row_of(get(reference, wanted), wanted);
    digest.update(mean.row_digest);
    const torch::Tensor numbers = mean.numbers.to(torch::kFloat64);
    sum = sum.defined() ? sum + numbers : numbers;
  }
  mean.path = concat("mean of ", references.size());
  mean.row_digest = digest.hex();
  mean.numbers = (sum / static_cast<double>(references.size())).to(torch::kFloat32);
  if (means_.size() >= kMostMeans) means_.clear();
  return means_[key] = mean;
}

}  // namespace loraxs
