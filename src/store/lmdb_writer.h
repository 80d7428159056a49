// store/lmdb_writer.h: one transaction of writes on an LMDB store.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "store/lmdb_environment.h"
#include "store/lmdb_state.h"
#include "store/store.h"

namespace loraxs {

class LmdbWriter : public WriteTransaction {
 public:
  /// Both must outlive this.
  LmdbWriter(LmdbTransaction& transaction, const StoreUrl& url);

  bool changed() const { return changed_; }
  /// Leaves the state that the rows have now; before the transaction is committed.
  void finish() { put_state(transaction_, state_); }

  void expect(std::span<const AdapterName> /*names*/) override {}
  std::optional<RowValue> find(const AdapterName& name, std::uint64_t version) override;
  std::vector<std::uint64_t> versions(const AdapterName& name) override;
  std::uint64_t last_number(const AdapterName& name) override;
  void keep_number(const AdapterName& name, std::uint64_t version) override;
  void add(const AdapterName& name, const RowHeader& header, std::span<const std::byte> value) override;
  void erase(const AdapterName& name, std::uint64_t version) override;
  void add_shared(SharedKind kind, const Digest& digest, std::string_view bytes) override;

 private:
  /// 0: there is none.
  std::uint64_t newest_version(const std::string& key) const;
  std::uint64_t kept_number(const std::string& key) const;
  bool is_whole(std::span<const std::byte> value, const AdapterName& name) const;

  LmdbTransaction& transaction_;
  const StoreUrl& url_;
  StoreState state_;
  std::string last_key_;
  bool changed_ = false;
};

}  // namespace loraxs
