// store/postgres_writer.h: one transaction of writes on a PostgreSQL store.
#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "store/postgres_connection.h"
#include "store/store.h"

namespace loraxs {

class PostgresWriter : public WriteTransaction {
 public:
  /// Both must outlive this; `connection` is in the transaction.
  PostgresWriter(PostgresConnection& connection, const StoreUrl& url) : connection_(connection), url_(url) {}

  void expect(std::span<const AdapterName> names) override;
  std::optional<RowValue> find(const AdapterName& name, std::uint64_t version) override;
  std::vector<std::uint64_t> versions(const AdapterName& name) override;
  std::uint64_t last_number(const AdapterName& name) override;
  void keep_number(const AdapterName& name, std::uint64_t version) override;
  void add(const AdapterName& name, const RowHeader& header, std::span<const std::byte> value) override;
  void erase(const AdapterName& name, std::uint64_t version) override;
  void add_shared(SharedKind kind, const Digest& digest, std::string_view bytes) override;
  /// Sends the rows that were added; before the transaction is committed.
  void flush();

 private:
  struct Newest {
    std::uint64_t version = 0;
    std::vector<std::byte> value;
  };
  PostgresConnection& connection_;
  const StoreUrl& url_;
  std::map<AdapterName, Newest> newest_;
  std::map<AdapterName, std::uint64_t> kept_;  // numbers that are not given again
  std::string queued_;                         // rows in COPY's binary form
  std::vector<std::byte> old_;
};

}  // namespace loraxs
