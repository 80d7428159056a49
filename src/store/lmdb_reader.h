// store/lmdb_reader.h: one transaction of reads on an LMDB store: what the store was at one moment.
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "store/lmdb_environment.h"
#include "store/store.h"

namespace loraxs {

/// The methods of Store of the same names.
class LmdbReader {
 public:
  /// `url` must outlive this.
  LmdbReader(LmdbEnvironment& environment, const StoreUrl& url) : transaction_(environment.begin_read()), url_(url) {}

  const LmdbTransaction& transaction() const { return transaction_; }
  bool read(const AdapterName& name, std::uint64_t version, const std::function<void(const RowValue&)>& use) const;
  std::vector<RowInfo> list(const ListQuery& query) const;
  std::vector<LastNumber> last_numbers(const AdapterName& after, std::size_t limit, const OnProblem& on_problem) const;
  std::vector<RowInfo> versions(const AdapterName& name, const OnProblem& on_problem) const;
  std::optional<std::string> shared(SharedKind kind, const Digest& digest) const;
  std::vector<Digest> shared_digests(SharedKind kind) const;
  /// All but the counts of the state -> rows read; `digests`: SHA-256 of the rows too, behind their XXH3.
  std::uint64_t verify(const OnProblem& on_problem, bool digests) const;

 private:
  RowValue decode_value(std::span<const std::byte> bytes, const AdapterName& name, std::uint64_t version) const;
  RowValue older_value(std::string_view key, std::span<const std::byte> bytes, const AdapterName& name) const;
  RowInfo info_at(std::string_view key, std::span<const std::byte> row, std::span<const std::byte> record) const;

  LmdbTransaction transaction_;
  const StoreUrl& url_;
};

}  // namespace loraxs
