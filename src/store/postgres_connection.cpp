#include "store/postgres_connection.h"

#include <chrono>
#include <thread>

#include "io/error.h"

namespace loraxs {
namespace {

// Statements are short; one that takes longer waits for a lock of a program that hangs.
constexpr const char* kSession =
    "SET statement_timeout = '120s'; SET lock_timeout = '60s'; SET synchronous_commit = on; "
    "SET client_min_messages = warning";
constexpr int kTries = 8;

std::string first_line(std::string text) {
  if (const std::size_t end = text.find('\n'); end != std::string::npos) text.resize(end);
  return text;
}

template <typename Unsigned>
std::string big_endian(Unsigned number) {
  std::string bytes;
  for (std::size_t i = sizeof number; i-- > 0;) bytes += static_cast<char>(number >> (8 * i));
  return bytes;
}

}  // namespace

std::span<const std::byte> PostgresResult::bytes(int row, int column) const {
  return {reinterpret_cast<const std::byte*>(libpq().PQgetvalue(result_.get(), row, column)),
          static_cast<std::size_t>(libpq().PQgetlength(result_.get(), row, column))};
}

std::string PostgresResult::text(int row, int column) const {
  return {libpq().PQgetvalue(result_.get(), row, column),
          static_cast<std::size_t>(libpq().PQgetlength(result_.get(), row, column))};
}

std::uint64_t PostgresResult::number(int row, int column) const {
  std::uint64_t number = 0;
  for (const std::byte byte : bytes(row, column)) number = (number << 8) | std::to_integer<std::uint64_t>(byte);
  return number;
}

PostgresParameter pg_text(std::string_view text) { return {.bytes = std::string(text)}; }
PostgresParameter pg_bytes(std::span<const std::byte> bytes) {
  return {.bytes = std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size())};
}
PostgresParameter pg_number(std::uint64_t number) { return {.bytes = big_endian(number)}; }

PostgresParameter pg_names(const std::vector<std::string_view>& names) {
  PostgresParameter list{.bytes = "{", .binary = false};
  for (const std::string_view name : names) {
    if (list.bytes.size() > 1) list.bytes += ',';
    list.bytes.append("\"").append(name).append("\"");
  }
  list.bytes += '}';
  return list;
}

PostgresConnection::PostgresConnection(const StoreUrl& url) : url_(url), connection_(nullptr, libpq().PQfinish) {
  const char* const keys[] = {"dbname", "application_name", "connect_timeout", nullptr};
  const char* const values[] = {url.text.c_str(), "loraxs", "10", nullptr};
  connection_.reset(libpq().PQconnectdbParams(keys, values, /*expand_dbname=*/1));
  if (is_lost()) {
    const std::string reason = first_line(libpq().PQerrorMessage(connection_.get()));
    // A server that starts or stops comes back: worth another try.
    if (reason.find("the database system is") != std::string::npos) throw PostgresRetry(reason);
    throw Error(concat(url.text, ": cannot connect to PostgreSQL: ", shortened(reason, 250)));
  }
  libpq().PQclear(libpq().PQexec(connection_.get(), kSession));
}

void PostgresConnection::fail(const PGresult* result) const {
  const std::string reason = first_line(libpq().PQerrorMessage(connection_.get()));
  const char* const code = result != nullptr ? libpq().PQresultErrorField(result, PG_DIAG_SQLSTATE) : nullptr;
  const std::string state = code != nullptr ? code : "";
  // Serialisation, deadlock, the same version by another program; a server that goes away.
  const bool again = state == "40001" || state == "40P01" || state == "23505" || state.starts_with("08") ||
                     state.starts_with("57P") || is_lost();
  if (again) throw PostgresRetry(reason);
  throw Error(
      concat(url_.text, ": PostgreSQL: ", shortened(reason, 250), state == "53100" ? "; its disk is full" : ""));
}

PostgresResult PostgresConnection::run(const char* statement, const std::vector<PostgresParameter>& parameters) {
  std::vector<const char*> values;
  std::vector<int> lengths, formats;
  values.reserve(parameters.size());
  lengths.reserve(parameters.size());
  formats.reserve(parameters.size());
  for (const PostgresParameter& each : parameters) {
    values.push_back(each.bytes.data());
    lengths.push_back(static_cast<int>(each.bytes.size()));
    formats.push_back(each.binary ? 1 : 0);
  }
  PostgresResult result(libpq().PQexecParams(connection_.get(), statement, static_cast<int>(parameters.size()), nullptr,
                                             values.data(), lengths.data(), formats.data(), /*resultFormat=*/1));
  const ExecStatusType status = libpq().PQresultStatus(result.get());
  if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) fail(result.get());
  return result;
}

void PostgresConnection::copy_in(const char* statement, std::string_view data) {
  const PostgresResult begun(libpq().PQexec(connection_.get(), statement));
  if (libpq().PQresultStatus(begun.get()) != PGRES_COPY_IN) fail(begun.get());
  const std::string head =
      std::string("PGCOPY\n\377\r\n\0", 11) + big_endian(std::uint32_t{0}) + big_endian(std::uint32_t{0});
  const std::string tail = big_endian(static_cast<std::uint16_t>(0xffff));
  constexpr std::size_t kPiece = std::size_t{1} << 20;
  bool sent = libpq().PQputCopyData(connection_.get(), head.data(), static_cast<int>(head.size())) == 1;
  for (std::size_t at = 0; sent && at < data.size(); at += kPiece) {
    const std::string_view piece = data.substr(at, kPiece);
    sent = libpq().PQputCopyData(connection_.get(), piece.data(), static_cast<int>(piece.size())) == 1;
  }
  sent = sent && libpq().PQputCopyData(connection_.get(), tail.data(), static_cast<int>(tail.size())) == 1;
  if (!sent || libpq().PQputCopyEnd(connection_.get(), nullptr) != 1) fail(nullptr);
  while (PGresult* each = libpq().PQgetResult(connection_.get())) {
    const PostgresResult result(each);
    if (libpq().PQresultStatus(each) != PGRES_COMMAND_OK) fail(each);
  }
}

std::unique_ptr<PostgresConnection> PostgresPool::take() {
  {
    std::unique_lock lock(mutex_);
    free_.wait(lock, [&] { return !idle_.empty() || taken_ < kConnections; });
    ++taken_;
    if (!idle_.empty()) {
      std::unique_ptr<PostgresConnection> connection = std::move(idle_.back());
      idle_.pop_back();
      return connection;
    }
  }
  try {
    return std::make_unique<PostgresConnection>(url_);
  } catch (...) {
    give_back(nullptr);
    throw;
  }
}

void PostgresPool::give_back(std::unique_ptr<PostgresConnection> connection) {
  const std::lock_guard lock(mutex_);
  --taken_;
  if (connection != nullptr && !connection->is_lost() && connection->is_idle()) idle_.push_back(std::move(connection));
  free_.notify_one();
}

void PostgresPool::with(const std::function<void(PostgresConnection&)>& work) {
  auto pause = std::chrono::milliseconds(5);
  for (int tried = 1;; ++tried) {
    try {
      std::unique_ptr<PostgresConnection> connection = take();
      try {
        work(*connection);
      } catch (...) {
        give_back(nullptr);  // in the middle of something: closed
        throw;
      }
      give_back(std::move(connection));
      return;
    } catch (const PostgresRetry& retry) {
      if (tried == kTries) {
        throw Error(concat(url_.text, ": PostgreSQL: ", shortened(retry.what(), 250), "; tried ", kTries, " times"));
      }
    }
    std::this_thread::sleep_for(pause);
    pause *= 2;
  }
}

}  // namespace loraxs
