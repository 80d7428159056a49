#include "store/postgres_writer.h"

#include <algorithm>

#include "io/error.h"

namespace loraxs {
namespace {

template <typename Unsigned>
void append_big_endian(std::string& bytes, Unsigned number) {
  for (std::size_t i = sizeof number; i-- > 0;) bytes += static_cast<char>(number >> (8 * i));
}

void append_field(std::string& bytes, std::string_view field) {
  append_big_endian(bytes, static_cast<std::uint32_t>(field.size()));
  bytes += field;
}

}  // namespace

void PostgresWriter::expect(std::span<const AdapterName> names) {
  std::vector<std::string_view> tenants, mine;
  tenants.reserve(names.size());
  mine.reserve(names.size());
  for (const AdapterName& name : names) {
    check_adapter_name(name, url_.text);
    tenants.push_back(name.tenant);
    mine.push_back(name.name);
    newest_[name];
  }
  const PostgresResult found = connection_.run(
      "SELECT DISTINCT ON (r.tenant, r.name) r.tenant, r.name, r.version, r.value FROM loraxs_rows r "
      "JOIN unnest($1::text[], $2::text[]) AS w(tenant, name) ON r.tenant = w.tenant AND r.name = w.name "
      "ORDER BY r.tenant, r.name, r.version DESC",
      {pg_names(tenants), pg_names(mine)});
  for (int row = 0; row < found.rows(); ++row) {
    const auto value = found.bytes(row, 3);
    newest_[{found.text(row, 0), found.text(row, 1)}] = {.version = found.number(row, 2),
                                                         .value = {value.begin(), value.end()}};
  }
  const PostgresResult kept = connection_.run(
      "SELECT n.tenant, n.name, n.version FROM loraxs_numbers n JOIN unnest($1::text[], $2::text[]) AS w(tenant, "
      "name) ON n.tenant = w.tenant AND n.name = w.name",
      {pg_names(tenants), pg_names(mine)});
  for (int row = 0; row < kept.rows(); ++row) kept_[{kept.text(row, 0), kept.text(row, 1)}] = kept.number(row, 2);
}

std::optional<RowValue> PostgresWriter::find(const AdapterName& name, std::uint64_t version) {
  const Newest& newest = newest_.at(name);
  if (version != 0 && version != newest.version) {
    flush();
    const PostgresResult found = connection_.run(
        "SELECT value FROM loraxs_rows WHERE tenant = $1::text AND name = $2::text AND version = $3::bigint",
        {pg_text(name.tenant), pg_text(name.name), pg_number(version)});
    if (found.rows() == 0) return std::nullopt;
    old_.assign(found.bytes(0, 0).begin(), found.bytes(0, 0).end());
    return decode_row_value(old_, {url_, name, version});
  }
  if (newest.version == 0) return std::nullopt;
  try {
    return decode_row_value(newest.value, {url_, name, version});
  } catch (const Error&) {
    if (version != 0) throw;
  }
  return RowValue{.header = {.version = newest.version}};  // damaged: equal to nothing, so that another put heals it
}

std::vector<std::uint64_t> PostgresWriter::versions(const AdapterName& name) {
  flush();
  const PostgresResult found = connection_.run(
      "SELECT version FROM loraxs_rows WHERE tenant = $1::text AND name = $2::text ORDER BY version DESC",
      {pg_text(name.tenant), pg_text(name.name)});
  std::vector<std::uint64_t> versions;
  versions.reserve(static_cast<std::size_t>(found.rows()));
  for (int row = 0; row < found.rows(); ++row) versions.push_back(found.number(row, 0));
  return versions;
}

std::uint64_t PostgresWriter::last_number(const AdapterName& name) {
  const auto kept = kept_.find(name);
  return std::max(newest_.at(name).version, kept == kept_.end() ? 0 : kept->second);
}

void PostgresWriter::keep_number(const AdapterName& name, std::uint64_t version) {
  connection_.run(
      "INSERT INTO loraxs_numbers VALUES ($1::text, $2::text, $3::bigint) ON CONFLICT (tenant, name) DO UPDATE "
      "SET version = greatest(loraxs_numbers.version, excluded.version)",
      {pg_text(name.tenant), pg_text(name.name), pg_number(version)});
  kept_[name] = std::max(kept_[name], version);
}

void PostgresWriter::add(const AdapterName& name, const RowHeader& header, std::span<const std::byte> value) {
  append_big_endian(queued_, std::uint16_t{4});  // fields
  append_field(queued_, name.tenant);
  append_field(queued_, name.name);
  append_big_endian(queued_, std::uint32_t{sizeof(std::uint64_t)});
  append_big_endian(queued_, header.version);
  append_field(queued_, {reinterpret_cast<const char*>(value.data()), value.size()});
  newest_[name] = {.version = header.version, .value = {value.begin(), value.end()}};
}

void PostgresWriter::erase(const AdapterName& name, std::uint64_t version) {
  flush();
  connection_.run("DELETE FROM loraxs_rows WHERE tenant = $1::text AND name = $2::text AND version = $3::bigint",
                  {pg_text(name.tenant), pg_text(name.name), pg_number(version)});
}

void PostgresWriter::add_shared(SharedKind kind, const Digest& digest, std::string_view bytes) {
  connection_.run("INSERT INTO loraxs_shared VALUES ($1::bigint, $2::bytea, $3::bytea) ON CONFLICT DO NOTHING",
                  {pg_number(static_cast<std::uint64_t>(kind)), pg_bytes(digest), pg_text(bytes)});
}

void PostgresWriter::flush() {
  if (queued_.empty()) return;
  connection_.copy_in("COPY loraxs_rows FROM STDIN (FORMAT binary)", queued_);
  queued_.clear();
}

}  // namespace loraxs
