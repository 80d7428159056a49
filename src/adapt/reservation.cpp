#include "adapt/reservation.h"

#include <algorithm>

#include "io/error.h"

namespace loraxs {

Reservation Reservation::of(const std::vector<std::shared_ptr<Bank>>& banks) {
  Reservation reservation;
  const bool trains =
      std::any_of(banks.begin(), banks.end(), [](const auto& bank) { return bank->gradients.defined(); });
  if (!banks.empty()) reservation.dropout = banks.front()->dropout;
  bool owned = trains;
  for (const auto& bank : banks) {
    const Layout& layout = *bank->layout;
    const MethodTraits& traits = find_method(layout.method, "bank").traits;
    TORCH_CHECK(bank->dropout == reservation.dropout, "Reservation: dropout differs");
    TORCH_CHECK(!traits.residual || layout.sites.empty() || banks.size() == 1,
                "Reservation: a residual base serves one bank");
    reservation.head = reservation.head || layout.head.kind != "none";
    owned = owned && traits.owns_weight;
    for (size_t i = 0; i < layout.sites.size(); ++i) {
      int64_t& rank = reservation.ranks[layout.sites[i].name];
      if (traits.residual) {
        reservation.residual[layout.sites[i].name] = layout.ranks[i];
      } else if (traits.reads_basis) {
        rank = std::max(rank, layout.ranks[i]);
      }
    }
  }
  if (!owned || banks.empty()) return reservation;
  for (const auto& [site, rank] : reservation.ranks) {
    if (std::all_of(banks.begin(), banks.end(), [&](const auto& bank) { return bank->layout->adapts(site); }))
      reservation.owned.insert(site);
  }
  return reservation;
}

void Reservation::check(const Layout& layout) const {
  const MethodTraits& traits = find_method(layout.method, "bank").traits;
  const auto fail = [&](const Site& site, const std::string& expected, const std::string& found) {
    throw Error(concat(site.name, ": expected ", expected, ", for which the base was prepared, found ", found,
                       "; prepare the base for it"));
  };
  for (size_t i = 0; i < layout.sites.size(); ++i) {
    const Site& site = layout.sites[i];
    const auto reserved = ranks.find(site.name);
    if (reserved == ranks.end()) fail(site, "no adapter", concat("one of rank ", layout.ranks[i]));
    if (traits.residual || !residual.empty()) {
      const auto lost = residual.find(site.name);
      if (!traits.residual || lost == residual.end() || lost->second != layout.ranks[i]) {
        fail(site, "adapters of the one residual base", concat(layout.method, " of rank ", layout.ranks[i]));
      }
    } else if (traits.reads_basis && layout.ranks[i] > reserved->second) {
      fail(site, concat("an adapter of rank at most ", reserved->second), concat("rank ", layout.ranks[i]));
    }
  }
  if (layout.head.kind != "none" && !head) {
    throw Error("head: expected adapters without a task head, for which the base was prepared, found one with");
  }
}

bool Reservation::covers(const Reservation& other) const {
  if (other.dropout != dropout || other.residual != residual || other.owned != owned || (other.head && !head))
    return false;
  return std::all_of(other.ranks.begin(), other.ranks.end(), [&](const auto& wanted) {
    const auto reserved = ranks.find(wanted.first);
    return reserved != ranks.end() && reserved->second >= wanted.second;
  });
}

}  // namespace loraxs
