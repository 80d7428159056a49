// store/postgres_connection.h: a pool of connections to one database, statements with binary parameters, retries.
#pragma once
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "store/libpq.h"
#include "store/reference.h"

namespace loraxs {

/// A failure after which the same transaction may be tried again: the connection was lost, or another program came
/// between.
class PostgresRetry : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// One row of a result and its columns, in binary; views into the result.
class PostgresResult {
 public:
  explicit PostgresResult(PGresult* result) : result_(result, libpq().PQclear) {}
  PGresult* get() const { return result_.get(); }
  int rows() const { return libpq().PQntuples(result_.get()); }
  std::span<const std::byte> bytes(int row, int column) const;
  std::string text(int row, int column) const;
  std::uint64_t number(int row, int column) const;  // of bigint
  bool is_null(int row, int column) const { return libpq().PQgetisnull(result_.get(), row, column) != 0; }

 private:
  std::unique_ptr<PGresult, void (*)(PGresult*)> result_;
};

/// A parameter in binary: text and bytea are their bytes, bigint is big-endian.
struct PostgresParameter {
  std::string bytes;
  bool binary = true;
};
PostgresParameter pg_text(std::string_view text);
PostgresParameter pg_bytes(std::span<const std::byte> bytes);
PostgresParameter pg_number(std::uint64_t number);
/// Of names: they need no quotes.
PostgresParameter pg_names(const std::vector<std::string_view>& names);

/// Belongs to one thread at a time.
class PostgresConnection {
 public:
  /// Throws Error where the server is away.
  explicit PostgresConnection(const StoreUrl& url);
  /// Throws PostgresRetry or Error.
  PostgresResult run(const char* statement, const std::vector<PostgresParameter>& parameters = {});
  /// COPY … FROM STDIN (FORMAT binary): `data` without its header and trailer.
  void copy_in(const char* statement, std::string_view data);
  bool is_lost() const { return libpq().PQstatus(connection_.get()) != CONNECTION_OK; }
  bool is_idle() const { return libpq().PQtransactionStatus(connection_.get()) == PQTRANS_IDLE; }

 private:
  [[noreturn]] void fail(const PGresult* result) const;
  const StoreUrl& url_;
  std::unique_ptr<PGconn, void (*)(PGconn*)> connection_;
};

/// Threads share it; at most kConnections at a time, who comes later waits.
class PostgresPool {
 public:
  explicit PostgresPool(StoreUrl url) : url_(std::move(url)) {}
  /// Runs `work` on a connection, again after a PostgresRetry, with pauses; then throws Error.
  void with(const std::function<void(PostgresConnection&)>& work);

  static constexpr std::size_t kConnections = 16;

 private:
  std::unique_ptr<PostgresConnection> take();
  void give_back(std::unique_ptr<PostgresConnection> connection);
  StoreUrl url_;
  std::mutex mutex_;
  std::condition_variable free_;
  std::vector<std::unique_ptr<PostgresConnection>> idle_;
  std::size_t taken_ = 0;
};

}  // namespace loraxs
