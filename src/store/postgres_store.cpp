#include "store/postgres_store.h"

#include <atomic>
#include <cstring>
#include <map>
#include <utility>

#include "io/atomic_file.h"
#include "io/error.h"
#include "store/postgres_connection.h"
#include "store/postgres_writer.h"

namespace loraxs {
namespace {

constexpr std::uint64_t kSchemaVersion = 2;  // version 1, without numbers, is read, and a write makes it this one
// Rows are not compressed: they do not become smaller. Names are compared as bytes, as LMDB compares them.
constexpr const char* kFirstTables[] = {
    "CREATE TABLE loraxs_schema (version bigint NOT NULL)",
    "INSERT INTO loraxs_schema VALUES (1)",
    "CREATE TABLE loraxs_shared (kind bigint, digest bytea, bytes bytea NOT NULL, PRIMARY KEY (kind, digest))",
    R"(CREATE TABLE loraxs_rows (tenant text COLLATE "C", name text COLLATE "C", version bigint, value bytea NOT NULL,
       PRIMARY KEY (tenant, name, version)))",
    "ALTER TABLE loraxs_rows ALTER COLUMN value SET STORAGE EXTERNAL",
    "ALTER TABLE loraxs_shared ALTER COLUMN bytes SET STORAGE EXTERNAL"};
// The highest numbers of versions that were deleted.
constexpr const char* kNumbersTable[] = {
    R"(CREATE TABLE loraxs_numbers (tenant text COLLATE "C", name text COLLATE "C", version bigint NOT NULL,
       PRIMARY KEY (tenant, name)))",
    "UPDATE loraxs_schema SET version = 2"};
constexpr std::uint64_t kMigrationLock = 0x6c6f72617873;  // "loraxs"

void check_version(const StoreUrl& url, std::uint64_t asked, const RowValue& value, const AdapterName& name) {
  if (value.header.version == asked) return;
  throw Error(concat(shown_reference(url, name, asked), ": damaged: found version ", value.header.version,
                     " in its place; put a backup in the store's place"));
}

RowInfo listed_row(const StoreUrl& url, const PostgresResult& result, int row) {
  RowInfo info{.name = {.tenant = result.text(row, 0), .name = result.text(row, 1)}};
  const std::uint64_t version = result.number(row, 2);
  const RowValue value = decode_row_value(result.bytes(row, 3), {url, info.name, version});
  check_version(url, version, value, info.name);
  info.header = value.header;
  info.row_bytes = value.row.size();
  info.tail = value.tail;
  return info;
}

class PostgresStore : public Store {
 public:
  PostgresStore(const StoreUrl& url, OpenStore how) : Store(url), pool_(std::make_shared<PostgresPool>(url)) {
    pool_->with([&](PostgresConnection& connection) { check_schema(connection, how); });
  }
  /// A view of one moment: all reads in the transaction that `connection` is in.
  PostgresStore(const StoreUrl& url, PostgresConnection& connection)
      : Store(url), pinned_(&connection), schema_(schema_of(connection)) {}

  bool read(const AdapterName& name, std::uint64_t version, const std::function<void(const RowValue&)>& use) override {
    check_adapter_name(name, url().text);
    const auto found = query(
        "SELECT version, value FROM loraxs_rows WHERE tenant = $1::text AND name = $2::text AND ($3::bigint = 0 OR "
        "version = $3::bigint) "
        "ORDER BY version DESC LIMIT 1",
        {pg_text(name.tenant), pg_text(name.name), pg_number(version)});
    if (found.rows() == 0) return false;
    use(checked_value(found.bytes(0, 1), name, found.number(0, 0), /*is_newest=*/version == 0));
    return true;
  }

  void read_many(std::span<const AdapterName> names,
                 const std::function<void(std::size_t, const RowValue*)>& use) override {
    std::vector<std::string_view> tenants, mine;
    tenants.reserve(names.size());
    mine.reserve(names.size());
    for (const AdapterName& name : names) {
      check_adapter_name(name, url().text);
      tenants.push_back(name.tenant);
      mine.push_back(name.name);
    }
    const auto found = query(
        "SELECT w.place, r.version, r.value FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS w(tenant, name, "
        "place) "
        "CROSS JOIN LATERAL (SELECT version, value FROM loraxs_rows WHERE tenant = w.tenant AND name = w.name "
        "ORDER BY version DESC LIMIT 1) r ORDER BY w.place",
        {pg_names(tenants), pg_names(mine)});
    int row = 0;
    for (std::size_t i = 0; i < names.size(); ++i) {
      if (row == found.rows() || found.number(row, 0) != i + 1) {
        use(i, nullptr);
        continue;
      }
      const RowValue value = checked_value(found.bytes(row, 2), names[i], found.number(row, 1), /*is_newest=*/true);
      use(i, &value);
      ++row;
    }
  }

  std::vector<RowInfo> list(const ListQuery& wanted) override {
    if (!wanted.tenant.empty()) {
      check_adapter_name({.tenant = wanted.tenant, .name = wanted.prefix.empty() ? "a" : wanted.prefix}, url().text);
    }
    std::vector<RowInfo> page;
    for (AdapterName after = wanted.after; page.size() < wanted.limit;) {  // again where damaged rows were left out
      const std::size_t room = wanted.limit - page.size();
      const auto found = query(
          "SELECT DISTINCT ON (tenant, name) tenant, name, version, value FROM loraxs_rows "
          "WHERE ($1::text = '' OR tenant = $1::text) AND starts_with(name, $2::text) AND (tenant, name) > ($3::text, "
          "$4::text) "
          "ORDER BY tenant, name, version DESC LIMIT $5::bigint",
          {pg_text(wanted.tenant), pg_text(wanted.tenant.empty() ? "" : wanted.prefix), pg_text(after.tenant),
           pg_text(after.name), pg_number(room)});
      append_rows(page, found, wanted.on_problem);
      const auto rows = static_cast<std::size_t>(found.rows());
      if (rows < room) break;
      after = {.tenant = found.text(found.rows() - 1, 0), .name = found.text(found.rows() - 1, 1)};
    }
    return page;
  }

  std::vector<LastNumber> last_numbers(const AdapterName& after, std::size_t limit,
                                       const OnProblem& /*on_problem*/) override {
    const std::vector<PostgresParameter> page = {pg_text(after.tenant), pg_text(after.name), pg_number(limit)};
    const auto found =
        has_numbers()
            ? query(
                  "SELECT tenant, name, max(version) FROM ("
                  "(SELECT DISTINCT ON (tenant, name) tenant, name, version FROM loraxs_rows "
                  "WHERE (tenant, name) > ($1::text, $2::text) ORDER BY tenant, name, version DESC LIMIT $3::bigint) "
                  "UNION ALL (SELECT tenant, name, version FROM loraxs_numbers "
                  "WHERE (tenant, name) > ($1::text, $2::text) ORDER BY tenant, name LIMIT $3::bigint)) a "
                  "GROUP BY tenant, name ORDER BY tenant, name LIMIT $3::bigint",
                  page)
            : query(
                  "SELECT DISTINCT ON (tenant, name) tenant, name, version FROM loraxs_rows "
                  "WHERE (tenant, name) > ($1::text, $2::text) ORDER BY tenant, name, version DESC LIMIT $3::bigint",
                  page);
    std::vector<LastNumber> numbers;
    numbers.reserve(static_cast<std::size_t>(found.rows()));
    for (int row = 0; row < found.rows(); ++row) {
      numbers.push_back(
          {.name = {.tenant = found.text(row, 0), .name = found.text(row, 1)}, .version = found.number(row, 2)});
    }
    return numbers;
  }

  std::vector<RowInfo> versions(const AdapterName& name, const OnProblem& on_problem) override {
    const auto found = query(
        "SELECT tenant, name, version, value FROM loraxs_rows WHERE tenant = $1::text AND name = $2::text ORDER BY "
        "version DESC",
        {pg_text(name.tenant), pg_text(name.name)});
    std::vector<RowInfo> all;
    append_rows(all, found, on_problem);
    return all;
  }

  std::optional<std::string> shared(SharedKind kind, const Digest& digest) override {
    const auto found = query("SELECT bytes FROM loraxs_shared WHERE kind = $1::bigint AND digest = $2::bytea",
                             {pg_number(static_cast<std::uint64_t>(kind)), pg_bytes(digest)});
    if (found.rows() == 0) return std::nullopt;
    std::string bytes = found.text(0, 0);
    check_shared(kind, digest, bytes, url().text);
    return bytes;
  }

  std::vector<Digest> shared_digests(SharedKind kind) override {
    const auto found =
        query("SELECT digest FROM loraxs_shared WHERE kind = $1::bigint AND length(digest) = 32 ORDER BY digest",
              {pg_number(static_cast<std::uint64_t>(kind))});
    std::vector<Digest> digests(static_cast<std::size_t>(found.rows()));
    for (int row = 0; row < found.rows(); ++row) {
      std::memcpy(digests[static_cast<std::size_t>(row)].data(), found.bytes(row, 0).data(), sizeof(Digest));
    }
    return digests;
  }

  StoreStat stat() override {
    const auto found = query(
        "SELECT (SELECT count(*) FROM (SELECT DISTINCT tenant, name FROM loraxs_rows) n), count(*), "
        "count(DISTINCT tenant), coalesce(sum(octet_length(value)), 0)::bigint, "
        "(SELECT count(*) FROM loraxs_shared WHERE kind = 0), (SELECT count(*) FROM loraxs_shared WHERE kind = 1), "
        "pg_total_relation_size('loraxs_rows') + pg_total_relation_size('loraxs_shared') FROM loraxs_rows",
        {});
    return {.adapters = found.number(0, 0),
            .versions = found.number(0, 1),
            .tenants = found.number(0, 2),
            .kinds = found.number(0, 4),
            .bases = found.number(0, 5),
            .value_bytes = found.number(0, 3),
            .file_bytes = found.number(0, 6)};
  }

  std::uint64_t verify(const OnProblem& on_problem) override {
    std::uint64_t read = 0;
    const auto attempt = [&](const auto& check) { tell_problem(on_problem, check); };
    std::map<Digest, bool> kinds;
    for (const SharedKind kind : {SharedKind::kKind, SharedKind::kBasis}) {
      for (const Digest& digest : shared_digests(kind)) {
        attempt([&] {
          const std::optional<std::string> bytes = shared(kind, digest);
          if (bytes && kind == SharedKind::kKind) parse_kind(*bytes, url().text);
          kinds[digest] = true;
        });
      }
    }
    AdapterName name;
    for (std::uint64_t version = 0;;) {
      const auto page = query(
          "SELECT tenant, name, version, value FROM loraxs_rows WHERE (tenant, name, version) > ($1::text, $2::text, "
          "$3::bigint) "
          "ORDER BY tenant, name, version LIMIT 500",
          {pg_text(name.tenant), pg_text(name.name), pg_number(version)});
      if (page.rows() == 0) return read;
      for (int row = 0; row < page.rows(); ++row, ++read) {
        name = {.tenant = page.text(row, 0), .name = page.text(row, 1)};
        version = page.number(row, 2);
        attempt([&] {
          const RowPlace place{url(), name, version};
          const RowValue value = decode_row_value(page.bytes(row, 3), place);
          check_version(url(), version, value, name);
          check_row_digest(value, place);
          if (!kinds.contains(value.header.kind)) {
            throw Error(concat(place.text(), ": damaged: its kind ", digest_hex(value.header.kind).substr(0, 16),
                               "… is not there"));
          }
        });
      }
    }
  }

  /// The server reuses the room; its own VACUUM FULL gives it back, and holds everybody meanwhile.
  /// It reads no row.
  void compact(const OnProblem& /*on_problem*/) override {
    pool_->with([](PostgresConnection& connection) { connection.run("VACUUM loraxs_rows"); });
  }

  void backup(const std::filesystem::path& folder, const OnProblem& on_problem) override {
    refuse_existing(folder, "--out");
    pool_->with([&](PostgresConnection& connection) {
      connection.run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
      PostgresStore moment(url(), connection);
      write_folder_atomically(folder, [&](const std::filesystem::path& aside) {
        const std::filesystem::path store = std::filesystem::absolute(aside) / "store";
        {
          const auto copy = open_store(parse_store_url("lmdb://" + store.string()), OpenStore::kCreate);
          copy_store(moment, *copy, on_problem);
        }
        for (const auto& entry : std::filesystem::directory_iterator(store)) {
          std::filesystem::rename(entry.path(), aside / entry.path().filename());
        }
        std::filesystem::remove(store);
      });
      connection.run("COMMIT");
    });
  }

 protected:
  void write(Changes what, const std::function<void(WriteTransaction&)>& changes) override {
    pool_->with([&](PostgresConnection& connection) {
      if (schema_ < kSchemaVersion) make_tables(connection);
      connection.run("BEGIN ISOLATION LEVEL REPEATABLE READ");
      // Before the first look: one that adds under way when another erases would not see what number was kept.
      connection.run(what == Changes::kErase ? "LOCK TABLE loraxs_numbers IN EXCLUSIVE MODE"
                                             : "LOCK TABLE loraxs_numbers IN ROW SHARE MODE");
      PostgresWriter writer(connection, url());
      changes(writer);
      writer.flush();
      connection.run("COMMIT");
    });
  }

 private:
  /// Those that are damaged are told, and left out.
  void append_rows(std::vector<RowInfo>& rows, const PostgresResult& found, const OnProblem& on_problem) const {
    rows.reserve(rows.size() + static_cast<std::size_t>(found.rows()));
    for (int row = 0; row < found.rows(); ++row) {
      tell_problem(on_problem, [&] { rows.push_back(listed_row(url(), found, row)); });
    }
  }

  RowValue checked_value(std::span<const std::byte> bytes, const AdapterName& name, std::uint64_t version,
                         bool is_newest) {
    RowValue value;
    try {
      value = decode_row_value(bytes, {url(), name, version});
    } catch (const Error&) {
      if (!is_newest) throw;
      fail_damaged_newest(bytes, {url(), name, version}, versions(name, kPassOver));
    }
    check_version(url(), version, value, name);
    return value;
  }

  PostgresResult query(const char* statement, const std::vector<PostgresParameter>& parameters) {
    if (pinned_ != nullptr) return pinned_->run(statement, parameters);
    std::optional<PostgresResult> result;
    pool_->with([&](PostgresConnection& connection) { result.emplace(connection.run(statement, parameters)); });
    return std::move(*result);
  }

  static std::uint64_t schema_of(PostgresConnection& connection) {
    // Of the catalogue's rows: to_regclass may answer from a cache that is older than the lock.
    const PostgresResult there = connection.run(
        "SELECT EXISTS (SELECT FROM pg_catalog.pg_tables WHERE tablename = 'loraxs_schema' AND schemaname = ANY "
        "(current_schemas(false)))");
    if (there.number(0, 0) == 0) return 0;
    const PostgresResult found = connection.run("SELECT coalesce(max(version), 0) FROM loraxs_schema");
    return found.number(0, 0);
  }

  /// What an older program left, or nobody, becomes what this one writes.
  void make_tables(PostgresConnection& connection) {
    connection.run("BEGIN");
    connection.run("SELECT pg_advisory_xact_lock($1::bigint)", {pg_number(kMigrationLock)});
    const std::uint64_t version = schema_of(connection);
    if (version == 0) {
      for (const char* statement : kFirstTables) connection.run(statement);
    }
    if (version <= 1) {
      for (const char* statement : kNumbersTable) connection.run(statement);
    }
    connection.run("COMMIT");
    schema_ = std::max(version, kSchemaVersion);
  }

  void check_schema(PostgresConnection& connection, OpenStore how) {
    schema_ = schema_of(connection);
    if (schema_ == 0) {
      if (how == OpenStore::kExisting) {
        throw Error(concat(url().text, ": expected a store, found a database without its tables; loraxs store put ",
                           "makes them"));
      }
      make_tables(connection);
    }
    if (schema_ <= kSchemaVersion) return;
    throw Error(concat(url().text, ": expected tables of version ", kSchemaVersion, ", found version ", schema_.load(),
                       "; a newer loraxs made them"));
  }

  /// Another program may have made them since this one looked.
  bool has_numbers() {
    if (schema_ < kSchemaVersion && pinned_ == nullptr) {
      pool_->with([&](PostgresConnection& connection) { schema_ = schema_of(connection); });
    }
    return schema_ >= kSchemaVersion;
  }

  std::shared_ptr<PostgresPool> pool_;
  PostgresConnection* pinned_ = nullptr;
  std::atomic<std::uint64_t> schema_ = 0;
};

}  // namespace

std::shared_ptr<Store> open_postgres_store(const StoreUrl& url, OpenStore how) {
  return std::make_shared<PostgresStore>(url, how);
}

}  // namespace loraxs
